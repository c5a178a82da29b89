"""The index of images made anew from the files, when it is damaged or gone.

Configurations are blobs named by their digest, and layers say themselves whose they are: only names are nowhere
else, so a copy of them lies beside the index.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from stackctl.errors import ImageError
from stackctl.images import disk, layers
from stackctl.images.config import describe, read_json
from stackctl.images.disk import StoreFiles
from stackctl.images.incoming import digest_of
from stackctl.images.index import Index, LayerRow, NewImage
from stackctl.images.limits import MAX_JSON_BYTES


def open_index(files: StoreFiles, changed: Callable[[], object]) -> tuple[Index, str]:
    """Open the index, or make it anew; return it and what its owner should know, "" if nothing.

    Raises OSError, sqlite3.Error, ImageError.
    """
    with disk.exclusively(f"{files.locks}/open"):
        return _opened(files, changed)


def _opened(files: StoreFiles, changed: Callable[[], object]) -> tuple[Index, str]:
    reason = "it was gone" if _is_gone(files) else ""
    if not reason:
        try:
            return _sound(files, changed), ""
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            reason = str(error)
    broken = _put_aside(files.index)
    names = _names(files)  # before the new index writes its own copy
    index = Index(files.index, changed)
    found = list(_images(files, names))
    index.add(found, now_ns=time.time_ns())
    nameless = sum(not image.references for image in found)
    notice = (
        f"the index of images was damaged ({reason}) and was made anew from the images' files: {len(found)} "
        f"found, {nameless} of them without a name; the damaged file is {broken}"
    )
    print(f"daemon: {notice}", file=sys.stderr, flush=True)
    return index, notice


def _is_gone(files: StoreFiles) -> bool:
    """Whether there are images but no index: an empty one would have all of them removed as unused."""
    with suppress(FileNotFoundError):
        if os.stat(files.index).st_size:
            return False
    return bool(os.listdir(files.blobs))


def _sound(files: StoreFiles, changed: Callable[[], object]) -> Index:
    index = Index(files.index, changed)
    try:
        index.check()
    except sqlite3.DatabaseError:
        index.close()
        raise
    return index


def _put_aside(path: str) -> str:
    broken = f"{path}.broken"
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.unlink(broken + suffix)
        with suppress(FileNotFoundError):
            os.rename(path + suffix, broken + suffix)
    return broken


def _names(files: StoreFiles) -> dict[str, list[str]]:
    """Return the references of each image, as the copy has them."""
    found: dict[str, list[str]] = {}
    with suppress(OSError, ImageError), open(files.names, "rb") as file:
        for reference, image_id in read_json(file.read(), files.names).items():
            found.setdefault(str(image_id), []).append(reference)
    return found


def _images(files: StoreFiles, names: dict[str, list[str]]) -> Iterator[NewImage]:
    """Yield every image that is there whole."""
    for name in sorted(os.listdir(files.blobs)):
        image_id = f"sha256:{name}"
        document = _document(f"{files.blobs}/{name}")
        if not document or digest_of(document) != image_id:
            continue
        with suppress(ImageError):
            known = [layers.find(files, diff_id) for diff_id in describe(document).diff_ids]
            if None not in known:
                facts = [layer for layer in known if layer is not None]
                rows = tuple(LayerRow(layer.diff_id, layer.blob) for layer in facts)
                size_bytes = sum(layer.size_bytes for layer in facts)
                yield NewImage(image_id, size_bytes, rows, tuple(names.get(image_id, ())))


def _document(path: str) -> bytes:
    """Return a blob that may be the configuration of an image; layers are no JSON objects."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_JSON_BYTES or file.read(1) != b"{":
            return b""
        text = b"{" + file.read()
    try:
        return text if isinstance(json.loads(text).get("rootfs"), dict) else b""
    except (ValueError, RecursionError):
        return b""
