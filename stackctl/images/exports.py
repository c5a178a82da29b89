"""Images on their way out of the store: into archives and to registries."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from stackctl.images import disk, saving
from stackctl.images.config import StoredImage, describe
from stackctl.images.disk import StoreFiles
from stackctl.images.incoming import digest_of
from stackctl.images.index import Index
from stackctl.images.reporting import reported
from stackctl.model.image import ImageRef
from stackctl.model.registry import PullProgress, TellProgress

if TYPE_CHECKING:
    from stackctl.images.registry.access import Access
    from stackctl.images.registry.pushing import PushRepository
    from stackctl.images.registry.settings import RegistrySettings

_SHORT = 12


class Pushed(NamedTuple):
    """What a tag leads to in the registry now: the digest of the manifest, and its size."""

    digest: str
    size: int


class ImageExports:
    """Any thread may call any method. Raises ImageError; NotFound."""

    def __init__(self, files: StoreFiles, index: Index, settings: Callable[[], RegistrySettings]) -> None:
        self._files = files
        self._index = index
        self._settings = settings

    def save(self, images: Sequence[tuple[StoredImage, Sequence[str]]]) -> Iterator[bytes]:
        """Yield an archive of images, each under these of its names (familiar form)."""
        with reported(), disk.together(self._files.sweep_lock):
            blobs = [[row.blob for row in self._index.layers(image.id)] for image, _ in images]
            saved = [saving.SavedImage(image, held, names) for (image, names), held in zip(images, blobs, strict=True)]
            yield from saving.archive(self._files, saved)

    def push(self, image: StoredImage, name: ImageRef, access: Access) -> Pushed:
        """Bring an image to its registry under a name; layers go as they came, what is there already does not."""
        repository = access.to_push(name, self._settings())
        with reported(), disk.together(self._files.sweep_lock):
            diff_ids = describe(image.document).diff_ids
            rows = self._index.layers(image.id)
            layers = [saving.descriptor(self._files, row.blob) for row in rows]
            for diff_id, layer in zip(diff_ids, layers, strict=True):
                access.tell(PullProgress("Preparing", _short(diff_id)))
                self._send(repository, layer, _short(diff_id), access.tell)
            config = saving.config_descriptor(image)
            if not repository.has(image.id):
                path = self._files.blob(image.id)
                repository.upload(image.id, len(image.document), lambda: _open(path), lambda _: None)
            body = json.dumps(saving.manifest(config, layers), separators=(",", ":")).encode()
            repository.put_manifest(name.tag, body, saving.MANIFEST)
        return Pushed(digest_of(body), len(body))

    def _send(self, repository: PushRepository, layer: dict[str, Any], short: str, tell: TellProgress) -> None:
        digest, size = str(layer["digest"]), int(layer["size"])
        if repository.has(digest):
            tell(PullProgress("Layer already exists", short))
            return
        step, told = max(size // 100, 1 << 19), 0

        def count(done: int) -> None:
            nonlocal told
            if done >= told + step or done == size:
                told = done
                tell(PullProgress("Pushing", short, done, size))

        repository.upload(digest, size, lambda: _open(self._files.blob(digest)), count)
        tell(PullProgress("Pushed", short))


def _open(path: str) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]
