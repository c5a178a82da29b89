"""Archives as ``docker save`` writes them: an OCI layout, with the ``manifest.json`` that older readers look for.

Layers go in as they came, compressed or not, so that every digest stays what it was.
Source: OCI image-spec 1.1, image-layout.md; moby, image/tarexport.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images import tar_writer
from stackctl.images.config import StoredImage
from stackctl.images.disk import StoreFiles
from stackctl.images.incoming import digest_of
from stackctl.images.tar_reader import Kind, TarEntry
from stackctl.model.image import parse_image_ref

_PIECE: Final = 1 << 18
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_COMPRESSED: Final = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))


class SavedImage(NamedTuple):
    """An image, the blobs of its layers (the lowest first), and the names it goes by in the archive, familiar form."""

    image: StoredImage
    blobs: Sequence[str]
    names: Sequence[str]


def archive(files: StoreFiles, images: Sequence[SavedImage]) -> Iterator[bytes]:
    """Yield the archive. What it holds must not be collected meanwhile. Raises ImageError, OSError."""
    entries, manifests = [], []
    written: set[str] = set()
    for saved in images:
        layers = [descriptor(files, blob) for blob in saved.blobs]
        document = _json(manifest(config_descriptor(saved.image), layers))
        for digest, content in ((saved.image.id, saved.image.document), (digest_of(document), document)):
            if digest not in written:
                yield from _member(_path(digest), content)
                written.add(digest)
        for blob in dict.fromkeys(saved.blobs):
            if blob not in written:
                yield from _file(_path(blob), files.blob(blob))
                written.add(blob)
        manifests += _index_entries(digest_of(document), len(document), saved.names)
        entries.append(
            {
                "Config": _path(saved.image.id),
                "RepoTags": list(saved.names) or None,
                "Layers": [_path(blob) for blob in saved.blobs],
            }
        )
    yield from _member("index.json", _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}))
    yield from _member("manifest.json", _json(entries))
    yield from _member("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    yield tar_writer.end()


def _index_entries(digest: str, size: int, names: Sequence[str]) -> list[dict[str, Any]]:
    entry = {"mediaType": MANIFEST, "digest": digest, "size": size}
    return [{**entry, "annotations": _annotations(name)} for name in names] or [entry]


def _annotations(name: str) -> Mapping[str, str]:
    full = parse_image_ref(name)
    return {"io.containerd.image.name": str(full), "org.opencontainers.image.ref.name": full.tag}


def manifest(config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an OCI manifest."""
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": dict(config), "layers": list(layers)}


def config_descriptor(image: StoredImage) -> dict[str, Any]:
    """Return what a manifest says of an image's configuration."""
    return {"mediaType": _CONFIG, "digest": image.id, "size": len(image.document)}


def descriptor(files: StoreFiles, blob: str) -> dict[str, Any]:
    """Return what a manifest says of a layer's blob. Raises ImageError when it is gone, OSError."""
    try:
        with open(files.blob(blob), "rb") as file:
            start, size = file.read(4), os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise ImageError(f"layer {blob} is no longer in the store", code="image-store") from error
    suffix = next((suffix for magic, suffix in _COMPRESSED if start.startswith(magic)), "")
    return {"mediaType": _LAYER + suffix, "digest": blob, "size": size}


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content)) + content + tar_writer.padding(len(content))


def _file(name: str, path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        yield _header(name, size)
        while piece := file.read(_PIECE):
            yield piece
    yield tar_writer.padding(size)


def _header(name: str, size: int) -> bytes:
    return tar_writer.header(
        TarEntry(
            name=name.encode(),
            kind=Kind.FILE,
            mode=0o644,
            uid=0,
            gid=0,
            size=size,
            mtime_ns=0,
            link=b"",
            device=(0, 0),
            xattrs=(),
            parts=None,
        )
    )


def _json(shape: object) -> bytes:
    return json.dumps(shape, separators=(",", ":")).encode()
