"""Archives that hold images: docker save, old and new form, and OCI layouts. Everything is verified."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from stackctl.errors import ImageError
from stackctl.images0.store import ImageStore, LoadedImage
from stackctl.images0.tar import Readable

_MOST_JSON_BYTES: Final = 16 << 20
_PIECE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MOST_NESTED: Final = 4
_NAME: Final = "io.containerd.image.name"
_REF_NAME: Final = "org.opencontainers.image.ref.name"


def load(store: ImageStore, stream: Readable, *, architecture: str) -> tuple[LoadedImage, ...]:
    """Take every image of an archive in. Nothing of an image is seen before all of it was verified.

    ``architecture`` (``amd64``) chooses where the archive has several. Raises ImageError.
    """
    with store.spool() as file:
        while piece := stream.read(_PIECE):
            file.write(piece)
        file.seek(0)
        try:
            with tarfile.open(fileobj=decompress(file), mode="r:") as archive:
                return _Archive(store, archive, architecture).load()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise ImageError(f"the archive cannot be read: {error}", code="archive-bad") from error


def decompress(file: BinaryIO) -> BinaryIO:
    """Return a stream of what a file holds, by its first bytes. Raises ImageError for what we cannot read."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[return-value]  # reads like one
    if start.startswith(_BZIP2):
        import bz2

        return bz2.BZ2File(file)  # type: ignore[return-value]
    if start.startswith(_XZ):
        import lzma

        return lzma.LZMAFile(file)  # type: ignore[return-value]
    if start.startswith(_ZSTD):
        raise ImageError(
            "zstd compression is not supported yet", code="archive-compression", hint="decompress it first: zstd -d"
        )
    return file


class _Archive:
    """One archive, read by member names; members are only ever read, never extracted by name."""

    def __init__(self, store: ImageStore, archive: tarfile.TarFile, architecture: str) -> None:
        self._store = store
        self._archive = archive
        self._architecture = architecture
        self._members = {member.name.removeprefix("./"): member for member in archive if member.isfile() or member.islnk()
                         or member.issym()}

    def load(self) -> tuple[LoadedImage, ...]:
        if "index.json" in self._members and "oci-layout" in self._members:
            return self._load_oci()
        if "manifest.json" in self._members:
            return self._load_docker()
        raise ImageError(
            "the archive holds no image: it has neither index.json nor manifest.json",
            code="archive-bad",
            hint="for a root file system use: stackctl image import",
        )

    def _load_docker(self) -> tuple[LoadedImage, ...]:
        manifest = _json(self._read("manifest.json"))
        if not isinstance(manifest, list):
            raise ImageError("the archive's manifest.json is no list", code="archive-bad")
        found: list[LoadedImage] = []
        for image in manifest:
            shape = _object(image, "an image of manifest.json")
            config = self._read(_text(shape, "Config"))
            layers = shape.get("Layers")
            if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
                raise ImageError("an image of manifest.json lists no layers", code="archive-bad")
            self._add_layers(config, [self._open(name) for name in layers])
            tags = shape.get("RepoTags") or [""]
            found += [self._store.add(config, tag) for tag in tags if isinstance(tag, str)]
        return tuple(found)

    def _load_oci(self) -> tuple[LoadedImage, ...]:
        index = _object(_json(self._read("index.json")), "index.json")
        found = []
        for descriptor in self._descriptors(index):
            name = self._oci_name(descriptor)
            manifest = self._manifest(descriptor, depth=0)
            if manifest is None:
                continue
            config = self._blob(_object(manifest.get("config"), "the configuration's descriptor"))
            layers = [self._open(_blob_path(_text(layer, "digest"))) for layer in _objects(manifest, "layers")]
            for layer in _objects(manifest, "layers"):
                self._verify(_text(layer, "digest"))
            self._add_layers(config, layers)
            found.append(self._store.add(config, name))
        if not found:
            raise ImageError(f"the archive holds no image for linux/{self._architecture}", code="archive-platform")
        return tuple(found)

    def _descriptors(self, index: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        descriptors = _objects(index, "manifests")
        fitting = [item for item in descriptors if self._fits(item)]
        return fitting or descriptors[:1]

    def _fits(self, descriptor: Mapping[str, Any]) -> bool:
        platform = descriptor.get("platform")
        if not isinstance(platform, Mapping):
            return True
        return platform.get("os") == "linux" and platform.get("architecture") == self._architecture

    def _oci_name(self, descriptor: Mapping[str, Any]) -> str:
        annotations = descriptor.get("annotations")
        marks = annotations if isinstance(annotations, Mapping) else {}
        name = marks.get(_NAME) or marks.get(_REF_NAME) or ""
        # A bare tag, as some tools write there, names no image.
        return name if isinstance(name, str) and ("/" in name or ":" in name) else ""

    def _manifest(self, descriptor: Mapping[str, Any], *, depth: int) -> Mapping[str, Any] | None:
        if depth > _MOST_NESTED:
            raise ImageError("the archive's indexes are nested too deeply", code="archive-bad")
        shape = _object(_json(self._blob(descriptor)), "a manifest")
        if "manifests" not in shape:
            return shape if "layers" in shape else None
        for inner in _objects(shape, "manifests"):
            if isinstance(inner.get("platform"), Mapping) and not self._fits(inner):
                continue
            found = self._manifest(inner, depth=depth + 1)
            if found is not None:
                return found
        return None

    def _add_layers(self, config: bytes, layers: list[BinaryIO]) -> None:
        shape = _object(_json(config), "the image's configuration")
        rootfs = _object(shape.get("rootfs"), "rootfs of the image's configuration")
        diff_ids = rootfs.get("diff_ids")
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
            raise ImageError("the image's configuration and its layers do not fit together", code="archive-bad")
        for diff_id, layer in zip(diff_ids, layers, strict=True):
            self._store.add_layer(decompress(layer), str(diff_id))

    def _blob(self, descriptor: Mapping[str, Any]) -> bytes:
        digest = _text(descriptor, "digest")
        data = self._read(_blob_path(digest))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ImageError(f"blob {digest} has other content", code="digest-mismatch")
        return data

    def _verify(self, digest: str) -> None:
        actual = hashlib.sha256()
        with self._open(_blob_path(digest)) as file:
            while piece := file.read(_PIECE):
                actual.update(piece)
        if f"sha256:{actual.hexdigest()}" != digest:
            raise ImageError(f"blob {digest} has other content", code="digest-mismatch")

    def _open(self, name: str) -> BinaryIO:
        member = self._members.get(name.removeprefix("./"))
        file = None
        if member is not None:
            try:
                file = self._archive.extractfile(member)
            except (KeyError, RecursionError) as error:
                raise ImageError(f"the archive's link {name} leads nowhere", code="archive-bad") from error
        if file is None:
            raise ImageError(f"the archive has no {name}", code="archive-bad")
        return io.BufferedReader(file)  # type: ignore[arg-type]

    def _read(self, name: str) -> bytes:
        with self._open(name) as file:
            data = file.read(_MOST_JSON_BYTES + 1)
        if len(data) > _MOST_JSON_BYTES:
            raise ImageError(f"{name} is too large", code="archive-bad")
        return data


def _blob_path(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or len(value) != 64 or not value.isalnum():
        raise ImageError(f"{digest!r} is no sha256 digest", code="archive-bad")
    return f"blobs/sha256/{value}"


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError("the archive holds damaged JSON", code="archive-bad") from error


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ImageError(f"{what} is missing or no object", code="archive-bad")
    return value


def _objects(shape: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = shape.get(key)
    if not isinstance(value, list):
        raise ImageError(f"{key} is missing or no list", code="archive-bad")
    return [_object(item, f"an entry of {key}") for item in value]


def _text(shape: Mapping[str, Any], key: str) -> str:
    value = shape.get(key)
    if not isinstance(value, str):
        raise ImageError(f"{key} is missing or no text", code="archive-bad")
    return value
