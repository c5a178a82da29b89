"""Files of the image store: where they are, locks that outlive no process, temporary folders, durability."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from stackctl.errors import ImageError

_SHORT: Final = 16
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
EMPTY_LAYER: Final = "empty"


class StoreFiles:
    """Paths below ``top``, the store's folder. Only root may enter it: layers hold set-id files."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.blobs = f"{top}/blobs/sha256"
        self.layers = f"{top}/layers"
        self.tmp = f"{top}/tmp"
        self.locks = f"{top}/locks"
        self.index = f"{top}/images.db"
        self.names = f"{top}/names.json"
        self.sweep_lock = f"{top}/locks/sweep"

    def make(self) -> None:
        """Make every folder that is missing. Raises OSError."""
        os.makedirs(self.top, 0o700, exist_ok=True)
        for path in (self.blobs, f"{self.layers}/{EMPTY_LAYER}/fs", self.tmp, self.locks):
            os.makedirs(path, 0o755, exist_ok=True)

    def blob(self, digest: str) -> str:
        """Return the path of the blob ``sha256:HEX``."""
        return f"{self.blobs}/{digest.removeprefix('sha256:')}"

    def layer(self, diff_id: str) -> str:
        """Return the folder of a layer. Short: the kernel takes all layers of an overlay in one page."""
        return f"{self.layers}/{diff_id.removeprefix('sha256:')[:_SHORT]}"

    def blob_lock(self, digest: str) -> str:
        """Return the lock held while a blob is fetched."""
        return f"{self.locks}/blob-{digest.removeprefix('sha256:')[:_SHORT]}"

    def layer_lock(self, diff_id: str) -> str:
        """Return the lock held while a layer is extracted."""
        return f"{self.locks}/{os.path.basename(self.layer(diff_id))}"


def is_sha256(digest: str) -> bool:
    """Whether a text is ``sha256:HEX`` as registries write it: nothing else may become part of a path."""
    return _DIGEST.fullmatch(digest) is not None


@contextmanager
def exclusively(path: str) -> Iterator[None]:
    """Hold the lock ``path`` alone, among all threads and processes, waiting for it. Raises OSError."""
    fd = _take(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        # Unlinked while held: whoever waits for this file sees that it is no longer the one at ``path``.
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.close(fd)


@contextmanager
def together(path: str) -> Iterator[None]:
    """Hold the lock ``path`` with others that hold it so, waiting for who holds it alone. Raises OSError."""
    fd = _open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextmanager
def if_alone(path: str) -> Iterator[bool]:
    """Hold the lock ``path`` alone if nobody has it; yield whether so. Raises OSError."""
    fd = _open_lock(path)
    try:
        yield _try(fd)
    finally:
        os.close(fd)


@contextmanager
def temporary_folder(files: StoreFiles) -> Iterator[str]:
    """Yield a new folder below ``tmp``, removed in the end; locked, so that no sweep takes it meanwhile.

    Raises OSError.
    """
    while True:
        path = f"{files.tmp}/{secrets.token_hex(8)}"
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # A sweep may have come between making and locking.
        if _is_at(fd, path):
            break
        os.close(fd)
    try:
        yield path
    finally:
        try:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


def sweep_temporary(files: StoreFiles) -> None:
    """Remove temporary folders whose owner is gone. Raises OSError."""
    for name in os.listdir(files.tmp):
        path = f"{files.tmp}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _try(fd):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


def sync_file_system(path: str) -> None:
    """Bring all that was written to the file system of ``path`` to the disk: one call for many files."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise ImageError(f"cannot write {path} to the disk: {os.strerror(number)}", code="image-store")
    finally:
        os.close(fd)


def sync_folder(path: str) -> None:
    """Make renames in the folder ``path`` last. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_lock(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(path: str, how: int) -> int:
    while True:
        fd = _open_lock(path)
        fcntl.flock(fd, how)
        if _is_at(fd, path):
            return fd
        os.close(fd)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
