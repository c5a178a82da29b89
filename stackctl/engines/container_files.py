"""Files of containers, running or not: copied in and out, told of, and compared with the image."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from stackctl.engines.local import LocalEngine
from stackctl.engines.path_stat import PathStat, Place, find_place, open_folder, path_stat
from stackctl.engines.tar_in import Readable, Rules, unpack
from stackctl.engines.tar_out import send_tar
from stackctl.errors import ContainerError, NotFound, UsageError
from stackctl.images.commit import Committed
from stackctl.images.incoming import parse_tag
from stackctl.images.store import ImageStore
from stackctl.model.observed import ObservedContainer
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.runtime.container_root import MountableContainer, in_mounted, in_running
from stackctl.runtime.init import users
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.record import read_spec

T = TypeVar("T")
MODIFIED, ADDED, DELETED = 0, 1, 2
_READ_ONLY: Final = (errno.EROFS,)


class PathChange(NamedTuple):
    """A path that differs from the image: MODIFIED, ADDED or DELETED."""

    path: str
    kind: int


class Commit(NamedTuple):
    """An image to be made of a container: its name ("" for none), configuration as Docker has it, changes to that."""

    name: str
    config: Mapping[str, Any]
    changes: Sequence[str]
    author: str = ""
    comment: str = ""


# Where a container's first start mounts what every container has: nobody's change.
_OF_ENGINE: Final = frozenset(
    PathChange(path, ADDED)
    for path in ("/dev", "/proc", "/sys", "/etc", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
)


class ContainerFiles:
    """Any thread may call any method. Errors: NotFound, UsageError for what is asked, ContainerError for the rest."""

    def __init__(self, paths: EnginePaths, engine: LocalEngine, images: ImageStore) -> None:
        self._paths = paths
        self._engine = engine
        self._images = images

    def stat(self, container: ObservedContainer, path: str) -> PathStat:
        """Return what is at a path."""

        def look(root: int) -> PathStat:
            with find_place(root, path) as place:
                return path_stat(place)

        return self._visit(container, look)

    def send(
        self, container: ObservedContainer, path: str, begin: Callable[[PathStat], None], send: Callable[[bytes], None]
    ) -> None:
        """Hand what is at a path to ``send`` as a tar stream, after its stat to ``begin``."""

        def copy(root: int) -> None:
            with find_place(root, path) as place:
                begin(path_stat(place))
                send_tar(place, send)

        self._visit(container, copy)

    def receive(
        self, container: ObservedContainer, path: str, stream: Readable, *, keeps_kind: bool, as_user: bool
    ) -> None:
        """Unpack a tar stream into a folder; ``as_user`` gives all of it to the container's user, if it has one."""
        spec = container.spec
        assert spec is not None
        cleaned = posixpath.normpath("/" + path.lstrip("/"))
        targets = [mount.target for mount in spec.mounts]
        if spec.read_only and not any(f"{cleaned}/".startswith(f"{target}/") for target in targets):
            raise UsageError("container rootfs is marked read-only", code="read-only")

        def copy(root: int) -> None:
            os.close(open_folder(root, cleaned))
            owner = None
            if as_user and spec.user:
                identity = users.resolve(root, spec.user)
                owner = (identity.uid, identity.gid)
            unpack(root, cleaned, stream, Rules(owner, keeps_kind))

        self._visit(container, copy)

    def changes(self, container: ObservedContainer) -> list[PathChange]:
        """Return what the container has changed of its image, a folder before what is in it."""
        folder = self._paths.container(container.id)
        layers = _layers(self._root_of(container))
        found = [change for change in _changes(f"{folder}/upper", layers, "") if change not in _OF_ENGINE]
        if not any(change.path.startswith("/etc/") for change in found):
            found = [change for change in found if change != PathChange("/etc", MODIFIED)]
        return sorted(found)

    def export(self, container: ObservedContainer, send: Callable[[bytes], None]) -> None:
        """Hand the container's root, without what is mounted in it, to ``send`` as a tar stream."""
        assert container.spec is not None
        folder = self._paths.container(container.id)
        bare = MountableContainer(folder, container.spec, self._root_of(container), {}, is_bare=True)

        def pack(root: int) -> None:
            send_tar(Place(root, b".", "", "/"), send)

        try:
            in_mounted(bare, pack)
        except OSError as error:
            raise ContainerError(f"cannot read the root: {error.strerror}", code="copy-failed") from error

    def commit(self, container: ObservedContainer, wanted: Commit) -> str:
        """Make an image of the container as it is now; return its id. Raises ImageError, too."""
        assert container.spec is not None
        root = self._root_of(container)
        made = Committed(
            image_id=container.image_id,
            upper=f"{self._paths.container(container.id)}/upper",
            omitted=_made_by_engine(f"{self._paths.container(container.id)}/upper", root),
            config=wanted.config,
            changes=wanted.changes,
            command=" ".join(container.spec.argv),
            author=wanted.author,
            comment=wanted.comment,
            name=parse_tag(wanted.name) if wanted.name else None,
        )
        return self._images.commit(made)

    def sizes(self, container: ObservedContainer) -> tuple[int, int]:
        """Return how much the container has written into its own root, and that with its image."""
        written = _size_of(f"{self._paths.container(container.id)}/upper")
        try:
            return written, written + self._images.inspect(container.image_id).size_bytes
        except NotFound:  # it has lost its image since
            return written, written

    def _visit(self, container: ObservedContainer, work: Callable[[int], T]) -> T:
        try:
            if container.pid:
                return in_running(container.pid, work)
            volumes = {volume.name: volume.mountpoint for volume in self._engine.volumes()}
            assert container.spec is not None
            folder = self._paths.container(container.id)
            mountable = MountableContainer(folder, container.spec, self._root_of(container), volumes)
            return in_mounted(mountable, work)
        except LookupError as error:
            raise UsageError(str(error), code="user-not-found") from error
        except OSError as error:
            if error.errno in _READ_ONLY:
                raise UsageError(f"mounted read-only: {error.filename or ''}", code="read-only") from error
            subject = f": {_text(error.filename)}" if error.filename else ""
            raise ContainerError(f"{error.strerror}{subject}", code="copy-failed") from error

    def _root_of(self, container: ObservedContainer) -> OverlayRoot | HostRoot:
        with open(f"{self._paths.container(container.id)}/spec.json", "rb") as file:
            return read_spec(file.read())[1]


def _text(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


def _layers(root: OverlayRoot | HostRoot) -> tuple[str, ...]:
    return (root.skeleton, *root.layers) if isinstance(root, HostRoot) else root.layers


def _made_by_engine(upper: str, root: OverlayRoot | HostRoot) -> frozenset[str]:
    """Return the paths that are there for the engine's mounts alone; /etc only when nothing else is in it."""
    found = list(_changes(upper, _layers(root), ""))
    own = {change.path for change in found if change in _OF_ENGINE}
    if any(change.path.startswith("/etc/") and change.path not in own for change in found):
        own.discard("/etc")
    below = {path for path in ("/dev", "/proc", "/sys") if any(c.path.startswith(f"{path}/") for c in found)}
    return frozenset(own - below)


def _changes(upper: str, layers: tuple[str, ...], below: str) -> Iterator[PathChange]:
    """Yield changes below a folder. Nothing is followed: what is compared is written by others."""
    with os.scandir(f"{upper}{below}") as entries:
        for entry in entries:
            path = f"{below}/{entry.name}"
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                yield PathChange(path, DELETED)
                continue
            yield PathChange(path, MODIFIED if _is_in(layers, path) else ADDED)
            if entry.is_dir(follow_symlinks=False):
                yield from _changes(upper, layers, path)


def _is_in(layers: tuple[str, ...], path: str) -> bool:
    """Say whether the image has the path: the topmost layer with a word on it decides."""
    for layer in reversed(layers):
        try:
            status = os.stat(f"{layer}{path}", follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0)
    return False


def _size_of(folder: str) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(f"{path}/{name}").st_size
            except OSError:
                continue
    return total
