"""Filling a new, empty volume with what the image has at its place, as Docker does."""

from __future__ import annotations

import os
import stat

from stackctl.runtime.init import paths

_COPY_BYTES = 1 << 20


def fill_if_empty(volume: int, root: int, path: bytes) -> None:
    """Copy the directory ``path`` of the image into ``volume`` when that is empty, owner and mode included."""
    target = paths.open_in_root(volume, b"/", os.O_RDONLY | os.O_DIRECTORY)
    source = paths.open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.listdir(target):
            return
        _copy_directory(source, target)
    finally:
        os.close(target)
        os.close(source)


def _copy_directory(source: int, target: int) -> None:
    for name in os.listdir(source):
        _copy_entry(os.fsencode(name), source, target)
    _copy_attributes(source, target)


def _copy_entry(name: bytes, source: int, target: int) -> None:
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    elif kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        below, into = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
        _copy_directory(below, into)
        os.close(below)
        os.close(into)
        return
    elif kind == stat.S_IFREG:
        _copy_file(name, source, target)
        return
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_file(name: bytes, source: int, target: int) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.open(name, flags, 0o600, dir_fd=target)
    while os.sendfile(writing, reading, None, _COPY_BYTES):  # None: go on from here
        pass
    _copy_attributes(reading, writing)
    os.close(reading)
    os.close(writing)


def _copy_attributes(source: int, target: int) -> None:
    # Order: owner before mode, as chown clears set-user-id; attributes after the owner, as it clears capabilities.
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for attribute in os.listxattr(source):
        if not attribute.startswith("trusted.overlay."):
            os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
