"""Draining a container's output to disk, without copying it through Python."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from stackctl.model.container import LogPolicy
from stackctl.runtime.log_files import ENDED, RECORD, numbers

PIPE_BYTES: Final = 1 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_BYTES: Final = 1 << 16
_SPLICE_FLAGS: Final = 0x01 | 0x02  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK


class _Watcher(Protocol):
    def register(self, fd: int, callback: Callable[[], None]) -> None: ...
    def unregister(self, fd: int) -> None: ...


class LogWriter:
    """Writes what comes out of the given descriptors into ``folder``, capped by ``policy``.

    A descriptor is a pipe (spliced if that ``can_splice``) or a terminal's master (read and written). It belongs to
    the writer and is closed at its end of file or by ``finish``.
    """

    def __init__(self, folder: str, policy: LogPolicy, loop: _Watcher, *, can_splice: bool = True) -> None:
        self._can_splice = can_splice
        self._folder = folder
        self._policy = policy
        self._loop = loop
        self._streams: dict[int, int] = {}
        self._on_close: dict[int, Callable[[], object]] = {}
        self._number = 0
        self._log = self._index = -1
        self._offset = 0

    def open(self) -> None:
        """Go on at the end of the newest file. Raises OSError."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{ENDED}")
        self._number = max(numbers(self._folder), default=0)
        self._open_files()

    def add(self, fd: int, stream: int, on_close: Callable[[], object] = lambda: None) -> None:
        """Drain ``fd`` from now on; ``on_close`` is called just before it is closed."""
        os.set_blocking(fd, False)
        self._streams[fd] = stream
        self._on_close[fd] = on_close
        self._loop.register(fd, lambda: self._on_readable(fd))

    def finish(self) -> None:
        """Take what is left in the descriptors, close everything. Nothing can write into them any more."""
        for fd in list(self._streams):
            while self._drain(fd) > 0:
                pass
            self._close(fd)
        self.close()

    def follow(self, policy: LogPolicy) -> None:
        """Cap the files otherwise from now on: what is too much goes when the next file begins."""
        self._policy = policy

    def mark_ended(self) -> None:
        """Tell readers that follow that no more will come."""
        mark_ended(self._folder)

    def close(self) -> None:
        """Close the files; descriptors still being drained are let go of."""
        for fd in list(self._streams):
            self._close(fd)
        for fd in (self._log, self._index):
            if fd >= 0:
                os.close(fd)
        self._log = self._index = -1

    def _on_readable(self, fd: int) -> None:
        if self._drain(fd) == 0:
            self._close(fd)

    def _drain(self, fd: int) -> int:
        """Move one piece; return its size, 0 at the end of the stream, -1 when there is nothing now."""
        try:
            count = self._move(fd)
        except BlockingIOError:
            return -1
        except OSError as error:
            if error.errno == errno.EIO:  # the last slave of a terminal was closed
                return 0
            return self._lose(fd, error)
        if count:
            self._offset += count
            self._note(self._streams[fd])
            if self._offset >= self._policy.max_bytes:
                self._rotate()
        return count

    def _note(self, stream: int) -> None:
        """Write to the index up to where the stream's piece goes; with no room, the next record says so."""
        record = RECORD.pack(time.time_ns(), stream, self._offset)
        try:
            written = os.write(self._index, record)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return
        if written < len(record):
            os.ftruncate(self._index, os.fstat(self._index).st_size - written)

    def _move(self, fd: int) -> int:
        if not self._can_splice:
            return self._copy(fd)
        try:
            return os.splice(fd, self._log, PIPE_BYTES, offset_dst=self._offset, flags=_SPLICE_FLAGS)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        return self._copy(fd)  # EINVAL: a terminal, or a file system that cannot splice

    def _copy(self, fd: int) -> int:
        data = os.read(fd, _READ_BYTES)
        return os.pwrite(self._log, data, self._offset) if data else 0

    def _lose(self, fd: int, error: OSError) -> int:
        if error.errno not in _FULL:
            raise error
        # A full disk must not stop the container: what does not fit is lost.
        try:
            return len(os.read(fd, _READ_BYTES))
        except BlockingIOError:
            return -1

    def _rotate(self) -> None:
        full, oldest = self._number, self._number + 2 - self._policy.max_files
        for old in numbers(self._folder):
            if old < oldest and old != full:
                self._delete(old)
        files = self._log, self._index
        self._number += 1
        try:
            self._open_files()
        except OSError:  # no room, or no descriptor left: the file grows on, and the next piece tries again
            self._number = full
            return
        for fd in files:
            os.close(fd)
        if full < oldest:
            self._delete(full)

    def _delete(self, number: int) -> None:
        for suffix in ("log", "idx"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{number}.{suffix}")

    def _open_files(self) -> None:
        # Not O_APPEND: splice refuses such files.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        log = os.open(f"{self._folder}/{self._number}.log", flags, 0o600)
        try:
            self._index = os.open(f"{self._folder}/{self._number}.idx", flags | os.O_APPEND, 0o600)
        except OSError:
            os.close(log)
            raise
        self._log, self._offset = log, os.fstat(log).st_size

    def _close(self, fd: int) -> None:
        self._loop.unregister(fd)
        self._streams.pop(fd, None)
        self._on_close.pop(fd)()
        os.close(fd)


def mark_ended(folder: str) -> None:
    """Tell readers that follow that no more will come; the mark is another than any before."""
    with contextlib.suppress(OSError):
        os.makedirs(folder, 0o700, exist_ok=True)
        # Order: removed first, as a file that is opened again keeps its inode and its time.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/{ENDED}")
        os.close(os.open(f"{folder}/{ENDED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
