"""Walking inside a root by descriptor: no name is ever resolved outside it, whatever links it holds.

Threat: images and volumes are written by others and may swap a directory for a link while we look
(CVE-2021-30465 and its successors). openat2 with RESOLVE_IN_ROOT takes the link inside the root, and what
is opened is then used by descriptor only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from stackctl.runtime.kernel import libc

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40
_IN_ROOT = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS


def open_in_root(root: int, path: bytes, flags: int = os.O_PATH) -> int:
    """Open ``path`` inside ``root``. Raises OSError."""
    return libc.openat2(root, path, flags, resolve=_IN_ROOT)


def make_directory(root: int, path: bytes, mode: int = 0o755) -> int:
    """Return an O_PATH descriptor of the directory ``path``, made with its parents where missing."""
    try:
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    _make(root, path, lambda above, name: os.mkdir(name, mode, dir_fd=above))
    return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)


def make_file(root: int, path: bytes) -> int:
    """Return an O_PATH descriptor of the file ``path``, made empty with its parents where missing."""
    try:
        return open_in_root(root, path)
    except FileNotFoundError:
        pass
    _make(root, path, _create_file)
    return open_in_root(root, path)


def _create_file(above: int, name: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o644, dir_fd=above))


def _make(root: int, path: bytes, create: Callable[[int, bytes], None], links_left: int = _MOST_LINKS) -> None:
    parent, name = _split(path)
    above = make_directory(root, parent) if parent.strip(b"/") else open_in_root(root, b"/")
    try:
        create(above, name)
    except FileExistsError:
        # A dangling link, as /etc/resolv.conf often is: resolving it said "not found", so what it points at is made.
        if not links_left:
            raise OSError(errno.ELOOP, "too many links", path) from None
        link = os.readlink(name, dir_fd=above)
        _make(root, link if link.startswith(b"/") else parent + b"/" + link, create, links_left - 1)
    finally:
        os.close(above)


def _split(path: bytes) -> tuple[bytes, bytes]:
    parent, _, name = path.rstrip(b"/").rpartition(b"/")
    return parent or b"/", name


def is_directory(fd: int) -> bool:
    """Say whether an open descriptor is a directory."""
    return os.fstat(fd).st_mode & 0o170000 == 0o040000


def through_proc(fd: int) -> bytes:
    """Return a path that names exactly what ``fd`` is open on, for calls that take only paths."""
    return b"/proc/self/fd/%d" % fd


def write_file(root: int, path: bytes, content: bytes) -> None:
    """Write ``content`` to an existing file inside ``root`` in one write."""
    fd = open_in_root(root, path, os.O_WRONLY)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
