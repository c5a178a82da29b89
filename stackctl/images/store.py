"""The image store: what the rest of the daemon calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stackctl.errors import Conflict, ImageError, NotFound
from stackctl.images import disk, host, layers
from stackctl.images.archive import read_archive
from stackctl.images.build.image_builds import ImageBuilds
from stackctl.images.chunks import Readable
from stackctl.images.collect import collect
from stackctl.images.config import StoredImage, describe
from stackctl.images.disk import EMPTY_LAYER, StoreFiles
from stackctl.images.exports import ImageExports
from stackctl.images.import_tar import ImportRequest, read_root_tar
from stackctl.images.incoming import (
    IMAGE_ID,
    IncomingImage,
    IncomingLayer,
    LoadedImage,
    PulledImage,
    digest_of,
    full_name,
    host_reference,
    is_id_of,
    parse_reference,
    parse_tag,
    with_tag,
)
from stackctl.images.index import ImageRow, LayerRow, NewImage
from stackctl.images.platform import fits, host_platform, parse_platform
from stackctl.images.recovery import open_index
from stackctl.images.removal import UsersOf, names_to_go
from stackctl.images.reporting import reported
from stackctl.model.image import ImageRef, ResolvedImage, parse_image_ref
from stackctl.model.root import OverlayRoot, Root

if TYPE_CHECKING:
    from stackctl.images.commit import Committed
    from stackctl.images.pull import RemoteImage
    from stackctl.images.registry.access import Access
    from stackctl.images.registry.mirrored import Source
    from stackctl.images.registry.settings import RegistrySettings

_SHORT_ID: Final = 12
TellImage = Callable[[str, str, str], object]


class ImageStore:
    """Images in ``ROOT/images``. Any thread may call any method, and other processes may share the folder.

    ``root`` is the engine's state root; ``changed`` is called whenever a name may lead elsewhere than before; ``tell``
    hears of what was done, in Docker's words: the action, the image's id, and the name by which it was meant.
    ``variables`` are the engine's environment: it names proxies. ``notice`` tells of an index made anew. Every method
    raises ImageError.
    """

    def __init__(
        self,
        root: str,
        *,
        users_of: UsersOf | None = None,
        changed: Callable[[], object] = lambda: None,
        tell: TellImage = lambda *_: None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._root = os.path.realpath(root)
        self._files = StoreFiles(f"{self._root}/images")
        self._users_of: UsersOf = users_of or (lambda _: ())
        self._tell = tell
        self._variables = variables
        self._described: dict[str, ResolvedImage] = {}
        with reported():
            self._files.make()
            self._index, self.notice = open_index(self._files, changed)
            disk.sweep_temporary(self._files)
            collect(self._files, self._index)
        self.builds = ImageBuilds(self, self._files, self._index)
        self.exports = ImageExports(self._files, self._index, self.registry_settings)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def resolve(self, reference: str, platform: str = "") -> ResolvedImage | None:
        """Return the image that a name, an id or a unique beginning of an id (12 digits or more) leads to.

        None when there is none, or none for ``platform`` ("" for whichever there is). A name comes before an
        id of the same letters.
        """
        with reported():
            found = self._find(reference, shortest=_SHORT_ID)
            if found is None or (platform and not fits(found.config, platform)):
                return None
            return found

    def layers_of(self, image_id: str) -> tuple[str, ...]:
        """Return the folders of an image's layers, absolute, the lowest first.

        A layer that occurs twice is listed where it is topmost, which comes to the same; overlayfs takes no
        folder twice. Raises ImageError when there is no such image.
        """
        with reported():
            if self._index.image(image_id) is None:
                raise ImageError(f"no such image: {image_id}", code="image-not-found")
            paths = [f"{self._files.layer(row.diff_id)}/fs" for row in self._index.layers(image_id)]
        return tuple(reversed(dict.fromkeys(reversed(paths))))

    def layer_facts(self, image_id: str) -> tuple[tuple[str, int], ...]:
        """Return the diff_id and the bytes of each layer, the lowest first; none for an image that is not there."""
        with reported():
            rows = self._index.layers(image_id)
            known = [(row.diff_id, layers.find(self._files, row.diff_id)) for row in rows]
        return tuple((diff_id, facts.size_bytes if facts else 0) for diff_id, facts in known)

    def disk_bytes(self) -> int:
        """Return the bytes of all layers' files, each layer once."""
        with reported():
            diff_ids, _ = self._index.used()
            known = [layers.find(self._files, diff_id) for diff_id in diff_ids]
        return sum(facts.size_bytes for facts in known if facts)

    def root_of(self, image_id: str) -> Root:
        """Return what a container of the image starts from. Raises ImageError: no such image."""
        if image_id == self._host().id:
            return host.host_root(self._files, host.host_layout())
        folders = self.layers_of(image_id)
        if describe(self._document(image_id)).base:
            return replace(host.host_root(self._files, host.host_layout()), layers=folders)
        return OverlayRoot(folders or (f"{self._files.layers}/{EMPTY_LAYER}/fs",))

    def list(self) -> tuple[StoredImage, ...]:
        """Return every image, the one added last first, the built-in one at the end."""
        with reported():
            found = [self._stored(row) for row in self._index.images()]
        return (*found, self._host())

    def inspect(self, reference: str) -> StoredImage:
        """Return the image that a name, an id or a unique beginning of an id leads to. Raises NotFound."""
        with reported():
            return self._inspect(reference)

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name, taking it from whichever had it. Raises NotFound, ImageError."""
        with reported():
            image = self._inspect(reference)
            if image.is_builtin:
                raise ImageError("the built-in image cannot be given another name", code="image-builtin")
            given = parse_tag(name)
            self._index.tag(str(given), image.id, now_ns=time.time_ns())
            self._tell("tag", image.id, given.familiar)

    def load(self, stream: Readable, platform: str = "") -> tuple[LoadedImage, ...]:
        """Add the images of an archive (docker save or OCI, plain or compressed), all or none.

        Where the archive has an image for several platforms, the one for ``platform`` ("" for this machine's)
        is taken. ``stream`` is read to its end, unless it is refused before. Raises ImageError.
        """
        wanted = parse_platform(platform) if platform else host_platform()
        with self.adding() as folder:
            images = read_archive(stream, folder, wanted=wanted, find_blob=self._blob_path)
            self.add(images, folder)
        for image in images:
            self._tell("load", image.id, image.id)
        return tuple(
            LoadedImage(name, image.id)
            for image in images
            for name in ([name.familiar for name in image.names] or [""])
        )

    def find_remote(self, reference: str, platform: str, access: Access) -> ResolvedImage:
        """Find an image in its registry without fetching it. Raises ImageError, NotFound."""
        name = parse_reference(reference)
        repository = self._repository(name, access)
        digest = name.digest or repository.digest(name.tag)
        known = self._known(name, digest, platform)
        if known is not None:
            is_named = bool(name.digest) or self._index.id_of(str(name)) == known.id
            return known if is_named else replace(known, remote_digest=digest)
        remote = _look_up(repository, digest or name.tag, platform)
        image_id, config = digest_of(remote.document), remote.description.config
        is_here = self._index.image(image_id) is not None and self._index.id_of(full_name(reference)) == image_id
        return ResolvedImage(image_id, config, "" if is_here else remote.digest)

    def pull(self, reference: str, platform: str, access: Access, *, digest: str = "") -> PulledImage:
        """Bring an image in from its registry; ``digest`` says which, when the tag may have moved meanwhile.

        What is here already is not fetched again. Raises ImageError, NotFound.
        """
        from stackctl.images.pull import fetched  # with what it imports 60 ms: only for pulls

        name = parse_reference(reference)
        repository = self._repository(name, access)
        at = digest or name.digest or repository.digest(name.tag)
        known = self._known(name, at, platform)
        if known is not None:
            is_new = not name.digest and self._index.id_of(str(name)) != known.id
            if is_new:
                self._index.tag(str(name), known.id, now_ns=time.time_ns())
            self._tell("pull", known.id, name.familiar)
            return PulledImage(known.id, at, is_new=is_new)
        remote = _look_up(repository, at or name.tag, platform)
        by_digest = replace(name, tag="", digest=remote.digest)
        names = (by_digest,) if name.digest else (by_digest, name)
        before = self._index.id_of(full_name(reference))
        with (
            self.adding() as folder,
            fetched(repository, remote, self._files, folder, tell=access.tell) as image,
        ):
            self.add((replace(image, names=names),), folder)
        self._tell("pull", image.id, name.familiar)
        return PulledImage(image.id, remote.digest, is_new=before != image.id)

    def check_login(self, registry: str, access: Access) -> None:
        """Return when a registry takes the credentials. Raises ImageError."""
        self._repository(ImageRef(registry, "", ""), access).check_login()

    def registry_settings(self) -> RegistrySettings:
        """Return how registries are reached, as the files say now. Raises ImageError for what makes no sense."""
        from stackctl.images.registry.settings import read_settings  # 15 ms, ssl: only for pulls

        return read_settings(self._root, self._variables)

    def _repository(self, name: ImageRef, access: Access) -> Source:
        return access.repository(name, self.registry_settings())

    def _known(self, name: ImageRef, digest: str, platform: str) -> ResolvedImage | None:
        """Return the image that was pulled by a digest before, and has not gone since."""
        full = str(replace(name, tag="", digest=digest)) if digest else ""
        image_id = self._index.id_of(full) if full else ""
        found = self._resolved(image_id) if image_id else None
        return found if found is not None and fits(found.config, platform or str(host_platform())) else None

    def import_tar(
        self,
        stream: Readable,
        *,
        name: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
        comment: str = "",
    ) -> str:
        """Add a root file system's tar, plain or compressed, as an image of one layer; return its id.

        ``changes`` are Dockerfile instructions. Raises ImageError.
        """
        request = ImportRequest(
            names=(parse_tag(name),) if name else (),
            changes=changes,
            platform=parse_platform(platform) if platform else host_platform(),
            created_ns=time.time_ns(),
            comment=comment,
        )
        with self.adding() as folder:
            image = read_root_tar(stream, folder, request)
            self.add((image,), folder)
        self._tell("import", image.id, name or image.id)
        return image.id

    def commit(self, made: Committed) -> str:
        """Add what a container has become as an image; return its id. Raises NotFound, ImageError."""
        from stackctl.images.commit import Base, read_container  # only to commit

        with self.adding() as folder:
            image = self._inspect(made.image_id)
            lower = tuple(IncomingLayer("", row.blob, row.diff_id) for row in self._index.layers(image.id))
            is_host = image.is_builtin or bool(describe(image.document).base)
            committed = read_container(made, Base(image.document, lower, is_host), folder, time.time_ns())
            self.add((committed,), folder)
        self._tell("commit", committed.id, made.name.familiar if made.name is not None else committed.id)
        return committed.id

    def remove(self, reference: str, *, force: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove a name, and the image with the last one; or, by id, the image with all its names.

        Returns what was untagged, in familiar form, and what was deleted: the image's id and its layers'. An
        image that a container uses is never deleted; ``force`` takes its names. By id even that is refused
        while a container of it runs. Raises NotFound, Conflict, ImageError.
        """
        with reported():
            image = self._inspect(reference)
            if image.is_builtin:
                raise Conflict("the image host is built in: it cannot be removed", code="image-builtin")
            name = None if is_id_of(reference, image.id) else parse_image_ref(full_name(reference))
            untagged = tuple(names_to_go(image, name, self._users_of(image.id), force=force))
            for gone in untagged:
                self._index.untag(full_name(gone))
                self._tell("untag", image.id, gone)
            if len(untagged) < len(image.tags) + len(image.digests) or self._users_of(image.id):
                return untagged, ()
            diff_ids = tuple(row.diff_id for row in self._index.layers(image.id))
            self._index.remove(image.id)
            self._described.pop(image.id, None)
            collect(self._files, self._index)
            self._tell("delete", image.id, image.id)
            lost = [diff_id for diff_id in diff_ids if layers.find(self._files, diff_id) is None]
            return untagged, (image.id, *reversed(dict.fromkeys(lost)))

    def _inspect(self, reference: str) -> StoredImage:
        found = self._find(reference, shortest=1)
        if found is None:
            raise NotFound(f"No such image: {with_tag(reference)}", code="image-not-found")
        built_in = self._host()
        if found.id == built_in.id:
            return built_in
        row = self._index.image(found.id)
        if row is None:
            raise NotFound(f"No such image: {with_tag(reference)}", code="image-not-found")
        return self._stored(row)

    def _find(self, reference: str, *, shortest: int) -> ResolvedImage | None:
        full = full_name(reference)
        built_in = self._host()
        if full == str(host_reference()):
            image_id = built_in.id
        else:
            by_name = self._index.id_of(full) if full else ""
            image_id = by_name or self._id_beginning(reference, shortest, built_in.id)
        if image_id == built_in.id:
            return ResolvedImage(built_in.id, describe(built_in.document).config)
        return self._resolved(image_id) if image_id else None

    def _id_beginning(self, reference: str, shortest: int, built_in: str) -> str:
        match = IMAGE_ID.fullmatch(reference)
        if match is None or (len(match[2]) < shortest and not match[1]):
            return ""
        prefix = f"sha256:{match[2]}"
        known = (*self._index.ids_beginning(prefix), *([built_in] if built_in.startswith(prefix) else []))
        if len(known) > 1:
            raise ImageError(f"several images have an id beginning with {reference}", code="image-ambiguous")
        return known[0] if known else ""

    def _resolved(self, image_id: str) -> ResolvedImage:
        known = self._described.get(image_id)
        if known is None:
            known = ResolvedImage(image_id, describe(self._document(image_id)).config)
            self._described[image_id] = known
        return known

    def _stored(self, row: ImageRow) -> StoredImage:
        names = [parse_image_ref(reference) for reference in row.references]
        return StoredImage(
            id=row.id,
            tags=tuple(name.familiar for name in names if not name.digest),
            digests=tuple(name.familiar for name in names if name.digest),
            size_bytes=row.size_bytes,
            tagged_ns=row.tagged_ns,
            document=self._document(row.id),
        )

    def _document(self, image_id: str) -> bytes:
        with open(self._files.blob(image_id), "rb") as file:
            return file.read()

    def _host(self) -> StoredImage:
        return host.host_image(host.host_layout())

    def _blob_path(self, digest: str) -> str:
        path = self._files.blob(digest)
        return path if os.path.exists(path) else ""

    @contextmanager
    def adding(self) -> Iterator[str]:
        """Yield a temporary folder; meanwhile nothing is collected, so what is there already stays."""
        with reported():
            try:
                with disk.together(self._files.sweep_lock), disk.temporary_folder(self._files) as folder:
                    yield folder
            finally:
                # What was removed meanwhile could not be collected.
                collect(self._files, self._index)

    def add(self, images: Sequence[IncomingImage], folder: str) -> None:
        """Add images whose layers are files in ``folder``, or here: call within ``adding``."""
        wanted = [layer for image in images for layer in image.layers]
        with layers.adding(self._files, wanted, folder) as missing:
            documents = {image.id: image.document for image in images}
            for image_id, document in documents.items():
                with open(f"{folder}/config-{image_id[7:]}", "wb") as file:
                    file.write(document)
            if missing or any(not self._blob_path(image_id) for image_id in documents):
                disk.sync_file_system(folder)
                layers.publish(self._files, missing, folder)
                for image_id in documents:
                    os.rename(f"{folder}/config-{image_id[7:]}", self._files.blob(image_id))
                disk.sync_folder(self._files.blobs)
                disk.sync_folder(self._files.layers)
        self._index.add([self._new(image) for image in images], now_ns=time.time_ns())

    def _new(self, image: IncomingImage) -> NewImage:
        known = [layers.find(self._files, layer.diff_id) for layer in image.layers]
        rows = tuple(LayerRow(facts.diff_id, facts.blob) for facts in known if facts)
        size_bytes = sum(facts.size_bytes for facts in known if facts)
        return NewImage(image.id, size_bytes, rows, tuple(str(name) for name in image.names))


def _look_up(repository: Source, tag_or_digest: str, platform: str) -> RemoteImage:
    from stackctl.images.pull import look_up  # as above

    wanted = parse_platform(platform) if platform else host_platform()
    return look_up(repository, tag_or_digest, wanted, is_exact=bool(platform))
