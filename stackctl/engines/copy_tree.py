"""Copying a tree of files as it is: owners, modes, times, extended attributes, holes, hard links, special files."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from stackctl.errors import EngineError

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CANNOT: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_PIECE_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Copied:
    """How much was copied: a file with several names counts once, folders do not; holes have no bytes."""

    files: int = 0
    bytes: int = 0


def copy_tree(source: str, target: str) -> Copied:
    """Copy all that is in the folder ``source`` into the empty folder ``target``, which becomes like it.

    The source is only read; what is mounted below it is not entered. Raises EngineError, naming the file.
    """
    copied = Copied()
    source_fd = os.open(source, _DIRECTORY)
    target_fd = os.open(target, _DIRECTORY)
    try:
        work = _Work(copied, os.fstat(source_fd).st_dev, target_fd)
        work.folder(source_fd, target_fd, "")
    finally:
        os.close(source_fd)
        os.close(target_fd)
    return copied


class _Work:
    def __init__(self, copied: Copied, device: int, top_fd: int) -> None:
        self._copied = copied
        self._device = device
        self._top_fd = top_fd
        self._links: dict[tuple[int, int], str] = {}

    def folder(self, source: int, target: int, path: str) -> None:
        """Copy what is in one folder, then make the folder itself alike: its times are the last to change."""
        for name in sorted(os.listdir(source)):
            inner = f"{path}/{name}" if path else name
            try:
                self._entry(source, target, name, inner)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise EngineError(f"{inner} cannot be copied: {why}", code="copy") from error
        _alike(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}", os.fstat(source), follows=True)

    def _entry(self, source: int, target: int, name: str, path: str) -> None:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            self._enter(source, target, name, path, found)
            return
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                os.link(first, name, src_dir_fd=self._top_fd, dst_dir_fd=target, follow_symlinks=False)
                return
        self._copied.files += 1
        if stat.S_ISREG(found.st_mode):
            self._copied.bytes += _copy_file(source, target, name, found.st_size)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
        _alike(f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}", found, follows=False)

    def _enter(self, source: int, target: int, name: str, path: str, found: os.stat_result) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        inner_source = os.open(name, _DIRECTORY, dir_fd=source)
        inner_target = os.open(name, _DIRECTORY, dir_fd=target)
        try:
            if found.st_dev == self._device:
                self.folder(inner_source, inner_target, path)
            else:
                _alike(f"/proc/self/fd/{inner_source}", f"/proc/self/fd/{inner_target}", found, follows=True)
        finally:
            os.close(inner_source)
            os.close(inner_target)


def _copy_file(source: int, target: int, name: str, size: int) -> int:
    """Copy where there is data, and leave the holes; return the bytes of data."""
    reader = os.open(name, _READ, dir_fd=source)
    try:
        writer = os.open(name, _WRITE, 0o600, dir_fd=target)
        try:
            os.ftruncate(writer, size)
            count = at = 0
            while (at := _next_data(reader, at)) < size:
                end = os.lseek(reader, at, os.SEEK_HOLE)
                _copy_range(reader, writer, at, end)
                count += end - at
                at = end
            return count
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _next_data(fd: int, at: int) -> int:
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a hole up to the end
            return os.fstat(fd).st_size
        raise


def _copy_range(reader: int, writer: int, at: int, end: int) -> None:
    while at < end:
        try:
            count = os.copy_file_range(reader, writer, end - at, at, at)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            count = os.pwrite(writer, os.pread(reader, min(_PIECE_BYTES, end - at), at), at)
        if not count:
            return  # it has become shorter meanwhile
        at += count


def _alike(source: str, target: str, found: os.stat_result, *, follows: bool) -> None:
    """Give ``target`` the owner, mode, extended attributes and times of ``source``."""
    # Order: a change of owner takes setuid bits and capabilities away; times change with everything.
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=follows)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source, follow_symlinks=follows):
        os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=follows), follow_symlinks=follows)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=follows)
