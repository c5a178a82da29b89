"""Paths in a container's root as Docker's copy tells of them. Source: Docker Engine API 1.51, container archive."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stackctl.errors import NotFound, UsageError
from stackctl.runtime.init import paths

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# The bits of Go's FileMode, which are not those of stat(2).
_GO_TYPES: Final = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS: Final = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@dataclass(frozen=True, slots=True)
class PathStat:
    """What is at a path; ``mode`` is Go's, ``link_target`` "" unless it is a link, resolved inside the root."""

    name: str
    size_bytes: int
    mode: int
    modified_ns: int
    link_target: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of an open folder. ``arcname`` is what an archive of it calls it."""

    folder: int
    name: bytes
    arcname: str
    path: str


@contextlib.contextmanager
def find_place(root: int, path: str) -> Iterator[Place]:
    """Open the folder that holds ``path``, inside ``root``. Raises NotFound, UsageError.

    The last component is taken as it is, a link or not, unless it ends with ``/`` or ``/.``.
    """
    if not path:
        raise UsageError("bad parameter: path cannot be empty", code="bad-path")
    is_content = path.endswith("/.") or path == "."
    # A leading ".." stays at the root.
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    parent, name = posixpath.split(cleaned)
    if not name or is_content or path.endswith("/"):
        folder = open_folder(root, cleaned)
        place = Place(folder, b".", "." if is_content or not name else name, cleaned)
    else:
        folder = open_folder(root, parent)
        place = Place(folder, os.fsencode(name), name, cleaned)
    try:
        yield place
    finally:
        os.close(folder)


def open_folder(root: int, path: str) -> int:
    """Return a descriptor of a folder inside ``root``. Raises NotFound, UsageError."""
    try:
        return paths.open_in_root(root, os.fsencode(path), _FOLDER)
    except FileNotFoundError as error:
        raise NotFound(f"Could not find the file {path}", code="no-such-path") from error
    except NotADirectoryError as error:
        raise UsageError(f"not a directory: {path}", code="bad-path") from error


def path_stat(place: Place) -> PathStat:
    """Return what is at a place. Raises NotFound."""
    try:
        status = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError as error:
        raise NotFound(f"Could not find the file {place.path}", code="no-such-path") from error
    target = ""
    if stat.S_ISLNK(status.st_mode):
        link = os.fsdecode(os.readlink(place.name, dir_fd=place.folder))
        target = posixpath.normpath(posixpath.join("/", posixpath.dirname(place.path), link))
    name = posixpath.basename(place.path) or "/"
    return PathStat(name, status.st_size, go_mode(status.st_mode), status.st_mtime_ns, target)


def go_mode(mode: int) -> int:
    """Return a mode as Go's ``os.FileMode`` has it. Pure."""
    found = mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0)
    for bit, go_bit in _GO_BITS:
        found |= go_bit if mode & bit else 0
    return found
