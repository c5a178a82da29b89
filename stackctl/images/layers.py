"""Extracted layers, one folder for each diff_id, and the blobs they came from.

``layers/SHORT/fs`` is what overlayfs stacks; ``layers/SHORT/layer.json`` says whose it is. The folder appears
by one rename, when all in it is on the disk, so that a layer is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from stackctl.errors import ImageError
from stackctl.images import disk
from stackctl.images.chunks import ReadAhead, capped, chunks_of, hashed
from stackctl.images.compression import decompressed
from stackctl.images.disk import StoreFiles
from stackctl.images.extract import extract
from stackctl.images.incoming import IncomingLayer
from stackctl.images.limits import MAX_TAR_BYTES


class LayerFacts(NamedTuple):
    """What is kept of a layer: what it is, the blob that was kept, and the bytes of its files."""

    diff_id: str
    blob: str
    size_bytes: int


def find(files: StoreFiles, diff_id: str) -> LayerFacts | None:
    """Return a layer that is there, None when it is not.

    Raises ImageError when another one has the same short name: then neither can be trusted.
    """
    try:
        with open(f"{files.layer(diff_id)}/layer.json", "rb") as file:
            facts = LayerFacts(**json.load(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"layer {diff_id} cannot be read: {error}", code="image-store") from error
    if facts.diff_id != diff_id:
        raise ImageError(f"layer {diff_id} looks like {facts.diff_id}", code="image-store")
    return facts


@contextmanager
def adding(files: StoreFiles, layers: Iterable[IncomingLayer], folder: str) -> Iterator[list[IncomingLayer]]:
    """Yield those of ``layers`` that are missing, extracted in ``folder``; nobody else adds them meanwhile.

    The caller publishes them inside the context. Waits for whoever adds one of them now, then looks again.
    Raises ImageError for a layer that is not what its diff_id says; OSError.
    """
    wanted: Mapping[str, IncomingLayer] = {layer.diff_id: layer for layer in layers}
    with ExitStack() as locks:
        # Sorted: two that add the same layers never wait for each other crosswise.
        for diff_id in sorted(wanted):
            if find(files, diff_id) is None:
                locks.enter_context(disk.exclusively(files.layer_lock(diff_id)))
        missing = [layer for layer in wanted.values() if find(files, layer.diff_id) is None]
        for layer in missing:
            target = pending(folder, layer.diff_id)
            if not os.path.exists(target):
                extract_to(layer.path, target, layer.blob, diff_id=layer.diff_id)
        yield missing


def extract_to(path: str, folder: str, blob: str, *, diff_id: str = "") -> str:
    """Extract the blob at ``path`` into the new folder ``folder``; return its diff_id.

    Raises ImageError when it is not ``diff_id``, unless that is ""; OSError.
    """
    os.mkdir(folder, 0o700)
    os.mkdir(f"{folder}/fs", 0o700)
    what = f"layer {(diff_id or blob)[:19]}"
    hasher = hashlib.sha256()
    root = os.open(f"{folder}/fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(path, "rb") as file:
            content = capped(decompressed(chunks_of(file), what), MAX_TAR_BYTES, what)
            with ReadAhead(hashed(content, hasher)) as chunks:
                extracted = extract(chunks, root, what)
    finally:
        os.close(root)
    found = f"sha256:{hasher.hexdigest()}"
    if diff_id and found != diff_id:
        raise ImageError(f"{what} is not what the image says: it is {found}", code="digest-mismatch")
    facts = LayerFacts(found, blob, extracted.size_bytes)
    with open(f"{folder}/layer.json", "w", encoding="ascii") as text:
        json.dump(facts._asdict(), text)
    return found


def publish(files: StoreFiles, layers: Iterable[IncomingLayer], folder: str) -> None:
    """Make extracted layers visible, with their blobs. All of it must be on the disk. Raises OSError."""
    for layer in layers:
        os.rename(layer.path, files.blob(layer.blob))
        os.rename(pending(folder, layer.diff_id), files.layer(layer.diff_id))


def pending(parent: str, diff_id: str) -> str:
    """Return where in a temporary folder a layer is extracted."""
    return f"{parent}/layer-{diff_id.removeprefix('sha256:')}"
