"""Streams between a client and a process in a container: pipes, a terminal, or a log that grows."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import threading
from collections.abc import Iterator
from typing import Final

from stackctl.runtime.log_reader import LogReader

STDOUT: Final = 1
STDERR: Final = 2
_READ_BYTES: Final = 1 << 16


def resize_terminal(fd: int, height: int, width: int) -> None:
    """Set a terminal's size in characters."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class ProcessStreams:
    """The standard streams of an exec'd process: ours alone to read.

    ``stdin_fd`` -1 means it has none; with a terminal all three are one descriptor.
    """

    def __init__(self, *, stdin_fd: int, output: dict[int, int], is_terminal: bool) -> None:
        self._stdin_fd = stdin_fd
        self._output = output
        self.is_terminal = is_terminal
        self._lock = threading.Lock()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self.has_ended = False
        self._is_closed = False

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the process has closed its output, or ``stop_reading``."""
        poller = select.poll()
        open_streams = dict(self._output)
        for fd in open_streams:
            poller.register(fd, select.POLLIN)
        poller.register(self._stop_read, select.POLLIN)
        while open_streams:
            for fd, _ in poller.poll():
                if fd == self._stop_read:
                    return
                data = _read(fd)
                if data:
                    yield open_streams[fd], data
                else:
                    poller.unregister(fd)
                    del open_streams[fd]
        self.has_ended = True

    def write(self, data: bytes) -> None:
        """Write to the process; what it no longer reads is dropped."""
        view = memoryview(data)
        with contextlib.suppress(BrokenPipeError, OSError):
            while view and self._stdin_fd >= 0:
                view = view[os.write(self._stdin_fd, view) :]

    def close_stdin(self) -> None:
        """End the process's input. A terminal has no end: its hang-up comes with ``close``."""
        with self._lock:
            if not self.is_terminal and self._stdin_fd >= 0:
                os.close(self._stdin_fd)
                self._stdin_fd = -1

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size; does nothing without one."""
        if self.is_terminal:
            with contextlib.suppress(OSError):
                resize_terminal(self._stdin_fd, height, width)

    def stop_reading(self) -> None:
        """Make ``read`` end soon; any thread may call it."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_closed:
                os.write(self._stop_write, b"s")

    def close(self) -> None:
        """Close every descriptor; nobody reads any more. Any number of times."""
        with self._lock:
            if self._is_closed:
                return  # by now the numbers may be those of other people's descriptors
            self._is_closed = True
            fds = {*self._output, self._stop_read, self._stop_write}
            if self._stdin_fd >= 0:
                fds.add(self._stdin_fd)
            self._stdin_fd = -1
            self._output = {}
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _READ_BYTES)
    except OSError as error:
        if error.errno == errno.EIO:  # the last process let go of the terminal
            return b""
        raise


class LogStreams:
    """A container's own streams: its output as the log holds it, its input as the supervisor handed it out."""

    def __init__(self, folder: str, *, is_terminal: bool, from_start: bool) -> None:
        self._reader = LogReader(folder)
        self._input_fd = -1
        self._has_input = threading.Event()
        self._lock = threading.Lock()
        self._is_closed = False
        self.is_terminal = is_terminal
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        if not from_start:
            for _ in self._reader.read():
                pass

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the container can write no more, or ``close``."""
        for chunk in self._reader.follow(self._stop_read):
            yield chunk.stream, chunk.data

    def give_input(self, fd: int) -> None:
        """Hand over what is written to, -1 for none; until then ``write`` waits."""
        self._input_fd = fd
        self._has_input.set()

    def write(self, data: bytes) -> None:
        """Write to the container's input, once it is there; dropped when it has none."""
        self._has_input.wait()
        view = memoryview(data)
        with contextlib.suppress(BrokenPipeError, OSError):
            while view and self._input_fd >= 0:
                view = view[os.write(self._input_fd, view) :]

    def close_stdin(self) -> None:
        """Close our end of the container's input: its end, when nobody else holds one."""
        self._has_input.wait()
        if not self.is_terminal and self._input_fd >= 0:
            os.close(self._input_fd)
            self._input_fd = -1

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size; does nothing without one."""
        if self.is_terminal and self._input_fd >= 0:
            resize_terminal(self._input_fd, height, width)

    def stop_reading(self) -> None:
        """Make ``read`` end soon; any thread may call it."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_closed:
                os.write(self._stop_write, b"s")

    def close(self) -> None:
        """Close every descriptor. Any number of times."""
        with self._lock:
            if self._is_closed:
                return  # as in ProcessStreams
            self._is_closed = True
            fds, self._input_fd = (self._input_fd, self._stop_read, self._stop_write), -1
        self._has_input.set()
        for fd in fds:
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)
