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
from collections.abc import Callable, Iterator
from typing import Final

from stackctl.runtime.log_reader import LogReader

STDOUT: Final = 1
STDERR: Final = 2
_READ_BYTES: Final = 1 << 16


class ProcessStreams:
    """The standard streams of an exec'd process: ours alone to read.

    ``stdin_fd`` -1 means it has none; with a terminal all three are one descriptor. One thread reads, one
    writes, any may call the rest; ``close`` comes when neither reads nor writes any more.
    """

    def __init__(self, *, stdin_fd: int, output: dict[int, int], is_terminal: bool) -> None:
        self._stop = _Stop()
        self._input = _Input(stdin_fd, self._stop)
        self._output = output
        self.is_terminal = is_terminal
        self.has_ended = False

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the process has closed its output, or ``stop``."""
        poller = select.poll()
        open_streams = dict(self._output)
        for fd in open_streams:
            poller.register(fd, select.POLLIN)
        poller.register(self._stop.fd, select.POLLIN)
        while open_streams:
            ready = [fd for fd, _ in poller.poll()]
            if self._stop.fd in ready:
                return
            for fd in ready:
                data = _read(fd)
                if data:
                    yield open_streams[fd], data
                elif data is not None:
                    poller.unregister(fd)
                    del open_streams[fd]
        self.has_ended = True

    def write(self, data: bytes) -> None:
        """Write to the process; what it no longer reads is dropped. Returns early after ``stop``."""
        self._input.write(data)

    def close_stdin(self) -> None:
        """End the process's input. A terminal has no end: its hang-up comes with ``close``."""
        if not self.is_terminal:
            self._input.close()

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size; does nothing without one."""
        if self.is_terminal:
            self._input.resize(height, width)

    def stop(self) -> None:
        """Make ``read`` and ``write`` end soon."""
        self._stop.set()

    def close(self) -> None:
        """Close every descriptor: pipes break, a terminal hangs up."""
        self._input.close()
        # With a terminal the one descriptor was the input's, too.
        fds, self._output = (set() if self.is_terminal else set(self._output)), {}
        for fd in fds:
            os.close(fd)
        self._stop.close()


class LogStreams:
    """A container's own streams: its output as the log holds it, its input as the supervisor handed it out.

    With ``is_next_run`` the container does not run now, and what its next run writes is meant.
    Threads as with ProcessStreams. ``on_close`` is called once, by ``close``.
    """

    def __init__(self, folder: str, *, is_terminal: bool, from_start: bool, is_next_run: bool = False) -> None:
        self._reader = LogReader(folder)
        self._beyond = self._reader.end_mark() if is_next_run else None
        self._stop = _Stop()
        self._input = _Input(-1, self._stop)
        self._has_input = threading.Event()
        self.is_terminal = is_terminal
        self.on_close: Callable[[], object] = lambda: None
        if not from_start:
            for _ in self._reader.read():
                pass

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the container can write no more, or ``stop``."""
        for chunk in self._reader.follow(self._stop.fd, beyond=self._beyond):
            yield chunk.stream, chunk.data

    def give_input(self, fd: int) -> None:
        """Hand over what is written to, -1 for none; until then ``write`` waits."""
        self._input.take(fd)
        self._has_input.set()

    def write(self, data: bytes) -> None:
        """Write to the container's input, once it is there; dropped when it has none. Returns early after ``stop``."""
        self._has_input.wait()
        self._input.write(data)

    def close_stdin(self) -> None:
        """Close our end of the container's input: its end, when nobody else holds one."""
        self._has_input.wait()
        if not self.is_terminal:
            self._input.close()

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size; does nothing without one."""
        if self.is_terminal:
            self._input.resize(height, width)

    def stop(self) -> None:
        """Make ``read`` and ``write`` end soon."""
        self._stop.set()
        self._has_input.set()

    def close(self) -> None:
        """Close every descriptor; the container notices nothing."""
        self._input.close()
        self._has_input.set()
        self._stop.close()
        self.on_close()
        self.on_close = lambda: None


class _Stop:
    """A wish to end that poll() can wait for: ``fd`` is readable from ``set`` on."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        self._lock = threading.Lock()

    def set(self) -> None:
        with self._lock:
            if self._write_fd >= 0:
                os.write(self._write_fd, b"s")

    def close(self) -> None:
        with self._lock:
            if self._write_fd >= 0:
                os.close(self.fd)
                os.close(self._write_fd)
            self._write_fd = -1


class _Input:
    """What is written to: ours, closed once. What is taken after ``close`` is closed at once."""

    def __init__(self, fd: int, stop: _Stop) -> None:
        self._fd = -1
        self._stop = stop
        self._lock = threading.Lock()
        self._is_closed = False
        self.take(fd)

    def take(self, fd: int) -> None:
        if fd < 0:
            return
        with self._lock:
            if self._is_closed:
                os.close(fd)
                return
            self._fd = fd
        # A reader that does not read must not keep us from stopping. (Whoever else has this end does the same.)
        os.set_blocking(fd, False)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        poller = select.poll()
        poller.register(self._stop.fd, select.POLLIN)
        if self._fd >= 0:
            poller.register(self._fd, select.POLLOUT)
        while view and self._fd >= 0:
            if any(fd == self._stop.fd for fd, _ in poller.poll()):
                return
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                continue
            except OSError:  # nobody reads any more
                return

    def resize(self, height: int, width: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._fd >= 0:
                fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close(self) -> None:
        with self._lock:
            fd, self._fd, self._is_closed = self._fd, -1, True
        if fd >= 0:
            os.close(fd)


def _read(fd: int) -> bytes | None:
    """Return b"" at the end, None when there is nothing now."""
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:  # the last process let go of the terminal
            return b""
        raise
