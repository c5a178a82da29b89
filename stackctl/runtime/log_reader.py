"""Reading container logs back, to the end or for as long as they grow."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from stackctl.runtime.log_files import ENDED, RECORD, Chunk, numbers

_IN_MODIFY: Final = 0x2
_IN_CREATE: Final = 0x100
_IN_DELETE_SELF: Final = 0x400
_READ_BYTES: Final = 1 << 20
Mark: TypeAlias = tuple[int, int]


class LogReader:
    """Iterates over the chunks of one container's log."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._number = -1
        self._records = 0
        self._offset = 0

    def read(self) -> Iterator[Chunk]:
        """Yield every chunk that was not yielded yet; ends at the present end."""
        while True:
            available = [number for number in numbers(self._folder) if number >= self._number]
            if not available:
                return
            if self._number != available[0]:
                self._open(available[0])
            yield from self._read_file()
            if len(available) == 1:
                return
            self._open(available[1])

    def end_mark(self) -> Mark | None:
        """Return what tells this end of the container from a later one; None while it may write."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(f"{self._folder}/{ENDED}")
            return status.st_ino, status.st_mtime_ns
        return None

    def follow(self, give_up_fd: int = -1, *, beyond: Mark | None = None) -> Iterator[Chunk]:
        """Yield chunks until the container can write no more, or ``give_up_fd`` becomes readable.

        An end that is ``beyond`` is past: what is waited for is the next.
        """
        watch = _Watch(self._folder)
        try:
            while True:
                mark = self.end_mark()
                has_ended = (mark is not None and mark != beyond) or not os.path.isdir(self._folder)
                yield from self.read()
                if has_ended or not watch.wait(give_up_fd):
                    return
        finally:
            watch.close()

    def _open(self, number: int) -> None:
        self._number, self._records, self._offset = number, 0, 0

    def _read_file(self) -> Iterator[Chunk]:
        try:
            index = os.open(f"{self._folder}/{self._number}.idx", os.O_RDONLY | os.O_CLOEXEC)
            log = os.open(f"{self._folder}/{self._number}.log", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # rotated away since it was listed
            return
        try:
            yield from self._read_records(index, log)
        finally:
            os.close(index)
            os.close(log)

    def _read_records(self, index: int, log: int) -> Iterator[Chunk]:
        while data := os.pread(index, RECORD.size * 4096, self._records * RECORD.size):
            if len(data) < RECORD.size:
                return
            for at in range(0, len(data) - RECORD.size + 1, RECORD.size):
                time_ns, stream, end = RECORD.unpack_from(data, at)
                start, self._offset = self._offset, end
                self._records += 1
                yield from _pieces(log, time_ns, stream, start, end)


def _pieces(log: int, time_ns: int, stream: int, start: int, end: int) -> Iterator[Chunk]:
    while start < end:
        data = os.pread(log, min(_READ_BYTES, end - start), start)
        if not data:
            return
        start += len(data)
        yield Chunk(time_ns, stream, data)


class _Watch:
    """inotify(7) on one folder."""

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify")
        libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_MODIFY | _IN_CREATE | _IN_DELETE_SELF)

    def wait(self, give_up_fd: int) -> bool:
        """Wait for a change; False when ``give_up_fd`` became readable first."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        if give_up_fd >= 0:
            poller.register(give_up_fd, select.POLLIN | select.POLLRDHUP)
        ready = {fd for fd, _ in poller.poll()}
        if give_up_fd in ready:
            return False
        os.read(self._fd, 1 << 16)
        return True

    def close(self) -> None:
        os.close(self._fd)


def last_lines(chunks: Iterator[Chunk], count: int) -> Iterator[Chunk]:
    """Yield only what makes up the last ``count`` lines of both streams together."""
    if count <= 0:
        deque(chunks, maxlen=0)
        return
    kept: deque[Chunk] = deque()
    lines = 0
    for chunk in chunks:
        for piece in chunk.data.splitlines(keepends=True):
            kept.append(chunk._replace(data=piece))
            lines += piece.endswith(b"\n")
            while lines > count or (lines == count and not piece.endswith(b"\n")):
                lines -= kept.popleft().data.endswith(b"\n")
    yield from kept
