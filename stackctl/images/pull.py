"""From a reference to an image's files: which manifest, which platform, which blobs, and these in parallel.

Source: OCI image-spec 1.1, image-index.md and manifest.md; Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stackctl.errors import ImageError
from stackctl.images import disk, layers
from stackctl.images.config import Description, describe, read_json
from stackctl.images.disk import StoreFiles
from stackctl.images.incoming import IncomingImage, IncomingLayer
from stackctl.images.limits import MAX_INDEX_DEPTH, MAX_JSON_BYTES, MAX_LAYERS, MAX_MANIFESTS, MAX_TAR_BYTES
from stackctl.images.platform import Platform, distance
from stackctl.images.registry.client import Descriptor, Manifest
from stackctl.images.registry.mirrored import Source
from stackctl.model.registry import PullProgress, TellProgress

PARALLEL: Final = 3
"""Layers fetched at once, as many as Docker does."""

_CONFIGS: Final = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", "")
_FOREIGN: Final = ("nondistributable", "foreign")
_ATTESTATION: Final = "vnd.docker.reference.type"
_SHORT: Final = 12


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image in a registry: what its tag leads to (``digest``), and for one platform configuration and layers."""

    digest: str
    document: bytes
    description: Description
    layers: tuple[Descriptor, ...]


def look_up(repository: Source, tag_or_digest: str, wanted: Platform, *, is_exact: bool) -> RemoteImage:
    """Find an image without fetching its layers: of an index the one whose platform fits best.

    An image that is alone is taken for what it is, unless ``is_exact``. Raises ImageError, NotFound.
    """
    reference = repository.reference
    top = repository.manifest(tag_or_digest)
    shape = _Walk(repository, wanted).manifest(top)
    config = _descriptor(shape.get("config"), "its configuration")
    if config.media_type not in _CONFIGS:
        raise ImageError(
            f"{reference.familiar} is no container image, but {config.media_type}", code="image-unsupported"
        )
    document = repository.read_blob(config, MAX_JSON_BYTES)
    description = describe(document)
    found = tuple(_layer(item) for item in _list(shape, "layers"))
    if len(found) > MAX_LAYERS or len(found) != len(description.diff_ids):
        raise ImageError(
            f"{reference.familiar}: its manifest names {len(found)} layers, its configuration "
            f"{len(description.diff_ids)}",
            code="image-corrupt",
        )
    here = Platform(description.config.os, description.config.architecture, description.config.variant)
    if is_exact and distance(wanted, here) is None:
        raise _no_platform(reference.familiar, wanted, [here])
    return RemoteImage(top.digest, document, description, found)


class _Walk:
    """From an index down to the manifest of one platform."""

    def __init__(self, repository: Source, wanted: Platform) -> None:
        self._repository = repository
        self._wanted = wanted
        self._name = repository.reference.familiar

    def manifest(self, top: Manifest) -> Mapping[str, Any]:
        """Return the image manifest that ``top`` is or leads to."""
        at = top
        for _ in range(MAX_INDEX_DEPTH + 1):
            shape = read_json(at.body, f"the manifest of {self._name}")
            _check_kind(shape, at.media_type, self._name)
            if not isinstance(shape.get("manifests"), list):
                return shape
            at = self._repository.manifest(self._choose(shape).digest)
        raise ImageError(f"{self._name}: its indexes are nested too deep", code="image-too-large")

    def _choose(self, index: Mapping[str, Any]) -> Descriptor:
        entries = _list(index, "manifests")
        if len(entries) > MAX_MANIFESTS:
            raise ImageError(f"{self._name}: its index is too long", code="image-too-large")
        fitting: list[tuple[int, Descriptor]] = []
        there: list[Platform] = []
        for entry in entries:
            if not isinstance(entry, dict) or _ATTESTATION in (entry.get("annotations") or {}):
                continue
            platform = _platform(entry)
            if platform.architecture == "unknown":
                continue
            there.append(platform)
            far = distance(self._wanted, platform)
            if far is not None:
                fitting.append((far, _descriptor(entry, "a manifest")))
        if not fitting:
            raise _no_platform(self._name, self._wanted, there)
        return min(fitting, key=lambda item: item[0])[1]


@contextmanager
def fetched(
    repository: Source,
    image: RemoteImage,
    files: StoreFiles,
    folder: str,
    *,
    tell: TellProgress,
) -> Iterator[IncomingImage]:
    """Yield the image with those of its layers that the store lacks as files in ``folder``.

    While inside, nobody else fetches the same blobs: who wants them waits, and then finds them in the store.
    Raises ImageError, OSError.
    """
    pairs = list(zip(image.layers, image.description.diff_ids, strict=True))
    reporter = _Reporter(tell)
    with ExitStack() as locks:
        for descriptor, diff_id in pairs:
            is_there = layers.find(files, diff_id) is not None
            reporter.say(descriptor, "Already exists" if is_there else "Pulling fs layer")
        # Sorted: two that want the same blobs never wait for each other crosswise.
        for digest in sorted({descriptor.digest for descriptor, diff_id in pairs if not layers.find(files, diff_id)}):
            locks.enter_context(disk.exclusively(files.blob_lock(digest)))
        missing = {descriptor.digest: descriptor for descriptor, diff_id in pairs if not layers.find(files, diff_id)}
        _download_all(repository, tuple(missing.values()), folder, reporter)
        for descriptor in missing.values():
            reporter.say(descriptor, "Extracting")
        incoming = [IncomingLayer(_path(folder, item.digest), item.digest, diff_id) for item, diff_id in pairs]
        yield IncomingImage(image.document, image.description, tuple(incoming), ())
        for descriptor in missing.values():
            reporter.say(descriptor, "Pull complete")


def _download_all(repository: Source, wanted: Sequence[Descriptor], folder: str, reporter: _Reporter) -> None:
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="pull") as pool:
        futures = [pool.submit(_download, repository, item, folder, reporter) for item in wanted]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = next((future for future in done if future.exception() is not None), None)
        if failed is not None:
            # One layer less is no image: the others need not come.
            repository.abandon()
            pool.shutdown(wait=True, cancel_futures=True)
        for future in [failed] if failed is not None else futures:
            future.result()


def _download(repository: Source, wanted: Descriptor, folder: str, reporter: _Reporter) -> None:
    with open(_path(folder, wanted.digest), "xb") as file:
        repository.download(wanted, file, lambda done: reporter.count(wanted, done))
    reporter.say(wanted, "Download complete")


class _Reporter:
    """Tells of layers by their short digest; a layer's bytes not more often than is worth drawing."""

    def __init__(self, tell: TellProgress) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}

    def say(self, layer: Descriptor, status: str) -> None:
        with self._lock:
            self._tell(PullProgress(status, _short(layer.digest)))

    def count(self, layer: Descriptor, done: int) -> None:
        with self._lock:
            step = max(layer.size // 100, 1 << 19)
            last = self._told.get(layer.digest, 0)
            if last <= done < last + step and done < layer.size:
                return
            self._told[layer.digest] = done
            self._tell(PullProgress("Downloading", _short(layer.digest), done, layer.size))


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]


def _path(folder: str, digest: str) -> str:
    return os.path.join(folder, f"blob-{digest.removeprefix('sha256:')}")


def _check_kind(shape: Mapping[str, Any], kind: str, name: str) -> None:
    if shape.get("schemaVersion") == 1 or "prettyjws" in kind or isinstance(shape.get("fsLayers"), list):
        raise ImageError(
            f"{name} has a manifest of schema 1, which Docker gave up in 2020",
            code="image-unsupported",
            hint="push it again with a newer client",
        )
    said = shape.get("mediaType")
    if isinstance(said, str) and kind.startswith("application/vnd.") and said != kind:
        raise ImageError(f"{name}: its manifest was sent as {kind}, and says it is {said}", code="image-corrupt")


def _layer(item: object) -> Descriptor:
    found = _descriptor(item, "a layer")
    if any(word in found.media_type for word in _FOREIGN):
        raise ImageError(f"layer {found.digest} may not be distributed: it is kept elsewhere", code="image-unsupported")
    if "encrypted" in found.media_type:
        raise ImageError(f"layer {found.digest} is encrypted", code="image-unsupported")
    return found


def _descriptor(shape: object, what: str) -> Descriptor:
    if not isinstance(shape, dict):
        raise ImageError(f"the manifest does not say what {what} is", code="image-corrupt")
    digest, size, kind = shape.get("digest"), shape.get("size"), shape.get("mediaType", "")
    is_digest = isinstance(digest, str) and disk.is_sha256(digest)
    if not is_digest or type(size) is not int or not 0 <= size <= MAX_TAR_BYTES or not isinstance(kind, str):
        raise ImageError(f"the manifest describes {what} in a way that makes no sense", code="image-corrupt")
    return Descriptor(str(digest), size, kind)


def _platform(entry: Mapping[str, Any]) -> Platform:
    shape = entry.get("platform")
    if not isinstance(shape, dict):
        return Platform("linux", "")
    return Platform(*(str(shape.get(key) or "") for key in ("os", "architecture", "variant")))


def _list(shape: Mapping[str, Any], key: str) -> list[Any]:
    value = shape.get(key)
    if not isinstance(value, list):
        raise ImageError(f"the manifest has no {key}", code="image-corrupt")
    return value


def _no_platform(name: str, wanted: Platform, there: Sequence[Platform]) -> ImageError:
    known = ", ".join(dict.fromkeys(str(platform) for platform in there if platform.architecture)) or "none"
    return ImageError(
        f"{name} does not exist for {wanted}", code="image-platform-missing", hint=f"it exists for: {known}"
    )
