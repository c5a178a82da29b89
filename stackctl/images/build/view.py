"""What a stack of layers looks like, read without mounting it: whiteouts, opaque folders, links, host binds.

Paths are of the container, without a leading slash. A link is followed by us, inside the stack, never by the
kernel; folders of layers are the store's own and change for nobody, so that what was looked at is what is opened.

Source: kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from stackctl.images.snapshot import FolderFacts, facts_of
from stackctl.images.tree import OPAQUE, is_whiteout
from stackctl.model.root import HostBind, HostRoot, Root

_MAX_LINKS: Final = 40


class Found(NamedTuple):
    """Something in the stack: where on the host it is, and what."""

    where: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)


class View:
    """``layers`` are folders in overlayfs's form, the lowest first; ``binds`` cover what is at their targets.

    Nothing may change below them meanwhile. Every method raises OSError.
    """

    def __init__(self, layers: Sequence[str], binds: Sequence[HostBind] = ()) -> None:
        self._layers = tuple(reversed(layers))
        self._binds = {bind.target.strip("/"): bind.source for bind in binds}
        self._folders: dict[str, tuple[str, ...]] = {"": self._layers}

    def find(self, path: str) -> Found | None:
        """Return what is at ``path``, None when nothing is; none of its folders may be a link."""
        if path in self._binds:
            source = os.path.realpath(self._binds[path])
            return Found(source, os.lstat(source))
        if not path:
            return Found(self._layers[0], os.lstat(self._layers[0])) if self._layers else None
        parent, _, name = path.rpartition("/")
        for folder in self._merged(parent):
            found = _look(folder, name)
            if found is not None:
                return None if is_whiteout(found.status) else found
        return None

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """Return the path without links, dots and dot-dots; what is missing of it is kept as it is.

        Whatever links and dot-dots say, the path stays inside. Raises OSError: ELOOP.
        """
        rest = [part for part in path.split("/") if part and part != "."][::-1]
        done: list[str] = []
        links = 0
        while rest:
            part = rest.pop()
            if part == "..":
                done = done[:-1]
                continue
            found = self.find("/".join([*done, part]))
            if found is None or not found.is_link or (not rest and not follow_last):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(found.where)
            if target.startswith("/"):
                done = []
            rest += [step for step in target.split("/") if step and step != "."][::-1]
        return "/".join(done)

    def names(self, path: str) -> list[str]:
        """Return the names in the folder ``path``, sorted; links are not followed."""
        seen: dict[str, bool] = {}
        for folder in self._merged(path):
            for entry in os.scandir(folder):
                if entry.name not in seen:
                    seen[entry.name] = not is_whiteout(entry.stat(follow_symlinks=False))
        found = {name for name, is_there in seen.items() if is_there}
        prefix = f"{path}/" if path else ""
        found |= {
            target.removeprefix(prefix)
            for target in self._binds
            if target.startswith(prefix) and "/" not in target.removeprefix(prefix)
        }
        return sorted(found, key=os.fsencode)

    def walk(self, path: str) -> Iterator[tuple[str, Found]]:
        """Yield everything below the folder ``path`` with its path relative to it, folders before their content."""
        for name in self.names(path):
            own = f"{path}/{name}" if path else name
            found = self.find(own)
            if found is None:
                continue
            yield name, found
            if found.is_folder:
                for below, other in self.walk(own):
                    yield f"{name}/{below}", other

    def read(self, path: str, most: int) -> bytes | None:
        """Return the beginning of the file ``path``, links followed; None when there is no such file."""
        found = self.find(self.resolve(path))
        if found is None or not stat.S_ISREG(found.status.st_mode):
            return None
        fd = os.open(found.where, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.read(fd, most)
        finally:
            os.close(fd)

    def folder_facts(self, path: str) -> FolderFacts | None:
        """See ``snapshot.Below``."""
        found = self.find(path)
        if found is None or not found.is_folder:
            return None
        fd = os.open(found.where, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return facts_of(fd)
        finally:
            os.close(fd)

    def _merged(self, path: str) -> tuple[str, ...]:
        """Return the folders that together are ``path``, the topmost first; none when it is no folder."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = tuple(self._merge(path))
        return known

    def _merge(self, path: str) -> Iterator[str]:
        if path in self._binds:
            yield os.path.realpath(self._binds[path])
            return
        parent, _, name = path.rpartition("/")
        for folder in self._merged(parent):
            found = _look(folder, name)
            if found is None:
                continue
            if not found.is_folder:
                return
            yield found.where
            if _is_opaque(found.where):
                return


def view_of(root: Root, *above: str) -> View:
    """Return the view of a root, with further layers on top."""
    if isinstance(root, HostRoot):
        return View((root.skeleton, *root.layers, *above), root.binds)
    return View((*root.layers, *above))


def _look(folder: str, name: str) -> Found | None:
    where = f"{folder}/{name}"
    try:
        return Found(where, os.lstat(where))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
