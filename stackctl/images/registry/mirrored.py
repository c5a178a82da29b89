"""A repository that mirrors hold as well: they are asked first, and what they do not have comes from the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol, TypeVar

from stackctl.errors import ImageError, NotFound
from stackctl.images.registry.client import Descriptor, Manifest
from stackctl.images.registry.patience import CancelCheck
from stackctl.model.image import ImageRef

T = TypeVar("T")


class Source(Protocol):
    """Where an image comes from. Errors are those of ``client.Repository``."""

    reference: ImageRef

    def abandon(self) -> None: ...
    def check_login(self) -> None: ...
    def digest(self, tag: str) -> str: ...
    def manifest(self, tag_or_digest: str) -> Manifest: ...
    def read_blob(self, descriptor: Descriptor, most: int) -> bytes: ...
    def download(self, descriptor: Descriptor, file: BinaryIO, told: Callable[[int], None]) -> None: ...


class Mirrored:
    """The registry's own repository behind its mirrors, a ``Source`` like it.

    A mirror that fails once is not asked again: every digest is checked, so pieces of different sources fit.
    """

    def __init__(self, mirrors: Sequence[Source], origin: Source, cancelled: CancelCheck) -> None:
        self.reference = origin.reference
        self._mirrors = list(mirrors)
        self._origin = origin
        self._cancelled = cancelled

    def abandon(self) -> None:
        """End what is under way, soon."""
        for source in (*self._mirrors, self._origin):
            source.abandon()

    def check_login(self) -> None:
        """Return when the registry itself takes the credentials: mirrors never see them."""
        self._origin.check_login()

    def digest(self, tag: str) -> str:
        """Return the digest a tag stands for."""
        return self._first(lambda source: source.digest(tag))

    def manifest(self, tag_or_digest: str) -> Manifest:
        """Return what a tag or a digest leads to."""
        return self._first(lambda source: source.manifest(tag_or_digest))

    def read_blob(self, descriptor: Descriptor, most: int) -> bytes:
        """Return a small blob."""
        return self._first(lambda source: source.read_blob(descriptor, most))

    def download(self, descriptor: Descriptor, file: BinaryIO, told: Callable[[int], None]) -> None:
        """Write a blob into the empty ``file``."""

        def fetch(source: Source) -> None:
            file.seek(0)
            file.truncate()
            source.download(descriptor, file, told)

        self._first(fetch)

    def _first(self, act: Callable[[Source], T]) -> T:
        for mirror in list(self._mirrors):
            try:
                return act(mirror)
            except (ImageError, NotFound):
                if self._cancelled():
                    raise
                if mirror in self._mirrors:
                    self._mirrors.remove(mirror)
        return act(self._origin)
