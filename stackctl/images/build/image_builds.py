"""Builds in the image store: from a context and a Dockerfile to an image with its names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stackctl.images import disk
from stackctl.images.build.request import BuildRequest, BuiltImage, Tell
from stackctl.images.build.running import CancelCheck, Runner
from stackctl.images.build.workshop import CACHE_BYTES, Workshop
from stackctl.images.chunks import Readable
from stackctl.images.collect import collect
from stackctl.images.config import StoredImage, describe, read_json
from stackctl.images.disk import StoreFiles
from stackctl.images.incoming import IncomingImage, IncomingLayer, full_name, parse_tag
from stackctl.images.index import Index
from stackctl.images.reporting import reported
from stackctl.model.image import ResolvedImage
from stackctl.model.root import HostRoot, Root

if TYPE_CHECKING:
    from stackctl.images.build.base import BaseImage

Pull = Callable[[str, str], str]
"""Brings an image in by name and platform from its registry, and returns its id. Raises ImageError, NotFound."""


class Store(Protocol):
    """What a build needs of the store."""

    def resolve(self, reference: str, platform: str = "") -> ResolvedImage | None: ...
    def inspect(self, reference: str) -> StoredImage: ...
    def root_of(self, image_id: str) -> Root: ...
    def adding(self) -> AbstractContextManager[str]: ...
    def add(self, images: Sequence[IncomingImage], folder: str) -> None: ...


class Helpers(NamedTuple):
    """Who does for a build what the store cannot do itself."""

    runner: Runner
    pull: Pull
    tell: Tell
    cancelled: CancelCheck


class ImageBuilds:
    """Any thread may call any method, and several may build at once."""

    def __init__(self, store: Store, files: StoreFiles, index: Index) -> None:
        self._store = store
        self._files = files
        self._index = index

    def build(self, request: BuildRequest, context: str, helpers: Helpers) -> BuiltImage:
        """Build an image of the folder ``context``, and give it its names.

        Raises ImageError, its diagnostics naming the line of the Dockerfile that failed; EngineError.
        """
        from stackctl.images.build.builder import Hands, build  # 20 ms: only to build

        names = tuple(parse_tag(name) for name in request.names)
        with self._store.adding() as folder, reported():
            workshop = Workshop(self._files, self._index, folder, time.time_ns)
            bases = _Bases(self._store, self._index, request, helpers.pull)
            hands = Hands(bases, helpers.runner, helpers.tell, helpers.cancelled)
            made = build(request, context, workshop, hands)
            layers = tuple(IncomingLayer("", layer.blob, layer.diff_id) for layer in made.layers)
            image = IncomingImage(made.document, describe(made.document), layers, names)
            self._store.add([image], folder)
            self._index.forget_steps(above_bytes=CACHE_BYTES)
        return BuiltImage(image.id, made.bases)

    @contextmanager
    def unpacked(self, stream: Readable) -> Iterator[str]:
        """Yield a folder with a context that is sent as a tar, plain or compressed. Raises ImageError."""
        from stackctl.images.build.unpacking import unpack_stream  # only to build

        with reported(), disk.temporary_folder(self._files) as folder:
            path = f"{folder}/context"
            os.mkdir(path, 0o755)
            unpack_stream(stream, path, "the context")
            yield path

    def inputs(self, reference: str) -> str:
        """Return what the image that a name leads to was built from, "" when it was not built here under it."""
        with reported():
            full = full_name(reference)
            image_id, inputs = self._index.inputs(full)
            return inputs if image_id and self._index.id_of(full) == image_id else ""

    def keep_inputs(self, reference: str, image_id: str, inputs: str) -> None:
        """Note what an image was built from, under one of its names."""
        with reported():
            self._index.keep_inputs(full_name(reference), image_id, inputs)

    def steps(self) -> list[tuple[str, int, int]]:
        """Return key, bytes and last use (nanoseconds since the epoch) of every step that is remembered."""
        with reported():
            return self._index.steps()

    def prune(self) -> int:
        """Forget every step of earlier builds; return the bytes of their layers. Images keep theirs."""
        with reported():
            forgotten = self._index.forget_steps(above_bytes=0)
            collect(self._files, self._index)
            return forgotten


class _Bases:
    """Base images: here, or from their registries."""

    def __init__(self, store: Store, index: Index, request: BuildRequest, pull: Pull) -> None:
        self._store = store
        self._index = index
        self._request = request
        self._pull = pull
        self._known: dict[str, BaseImage] = {}

    def find(self, reference: str) -> BaseImage:
        """See ``base.Bases``."""
        known = self._known.get(reference)
        if known is None:
            known = self._known[reference] = self._image(self._id(reference))
        return known

    def _id(self, reference: str) -> str:
        here = self._store.resolve(reference, self._request.platform)
        is_builtin = here is not None and self._store.inspect(here.id).is_builtin
        if here is not None and (is_builtin or not self._request.pull):
            return here.id
        return self._pull(reference, self._request.platform)

    def _image(self, image_id: str) -> BaseImage:
        from stackctl.images.build.base import BaseImage

        stored = self._store.inspect(image_id)
        known = describe(stored.document)
        root = self._store.root_of(image_id)
        host = root if isinstance(root, HostRoot) else None
        entries = read_json(stored.document, "the image configuration").get("history")
        history: list[Mapping[str, object]] = [entry for entry in entries or () if isinstance(entry, dict)]
        return BaseImage(
            id=image_id,
            config=known.raw,
            history=() if host is not None and not known.diff_ids else tuple(history),
            layers=self._index.layers(image_id),
            created=known.created,
            host=host,
            identity=os.path.basename(host.skeleton) if host is not None else "",
        )
