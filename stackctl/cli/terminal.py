"""A container's process at the user's terminal, or at pipes."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Final, Protocol

from stackctl.cli.detach_keys import DetachKeys
from stackctl.cli.failure import Failure
from stackctl.cli.output import WriteBytes, unbuffered
from stackctl.cli.signals import INTERRUPTED, Courier, handled
from stackctl.errors import EngineUnreachable

_READ_BYTES: Final = 1 << 16
_STDERR: Final = 2


class Stream(Protocol):
    """A two-way connection to a process."""

    def read_frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the process has closed its output."""
        ...

    def send(self, data: bytes) -> None:
        """Send to its input. Raises EngineUnreachable."""
        ...

    def close_write(self) -> None:
        """End its input."""
        ...

    def leave(self) -> None:
        """End ``read_frames``; the process goes on."""
        ...


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a standard stream is a terminal; a closed one is not."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def relay_terminal(
    stream: Stream,
    *,
    resize: Callable[[int, int], object],
    has_input: bool,
    begin: Callable[[], object] = lambda: None,
    detach_keys: bytes = b"",
) -> bool:
    """Make the user's terminal the process's own until the process ends, or ``detach_keys`` are typed: then True.

    The terminal is raw meanwhile, so Ctrl-C is the process's; ``resize(lines, columns)`` is called at the
    start and whenever the window changes. ``begin`` is called once all is set up. The terminal is given back
    however this ends; SIGTERM and SIGHUP end it with Failure 130.
    """
    with ExitStack() as cleanup:
        courier = Courier()
        cleanup.callback(courier.close)
        cleanup.enter_context(handled({signal.SIGTERM: _leave, signal.SIGHUP: _leave}))
        cleanup.enter_context(handled({signal.SIGWINCH: lambda: courier.send(lambda: _tell_size(resize))}))
        if has_input and is_terminal(sys.stdin):
            cleanup.enter_context(raw_mode(sys.stdin.fileno()))
        begin()
        courier.send(lambda: _tell_size(resize))
        keys = DetachKeys(detach_keys)
        _relay(stream, cleanup, keys, has_input=has_input)
    return keys.was_typed


def relay_pipes(
    stream: Stream,
    *,
    has_input: bool,
    kill: Callable[[str], object] | None,
    begin: Callable[[], object] = lambda: None,
) -> None:
    """Copy between standard streams and the process until it closes its output.

    The end of standard input ends the process's input. With ``kill`` SIGINT, SIGTERM and the like are sent on
    to the process by name, the third of them as SIGKILL; without it they end this, and the process stays.
    """
    with ExitStack() as cleanup:
        if kill is not None:
            courier = Courier()
            cleanup.callback(courier.close)
            cleanup.enter_context(handled(_forwarding(courier, kill)))
        begin()
        _relay(stream, cleanup, DetachKeys(b""), has_input=has_input)


@contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Hand every key through while inside; afterwards the terminal is as it was."""
    import termios  # only with a terminal
    import tty

    before = termios.tcgetattr(fd)
    try:
        # TCSADRAIN, not the default TCSAFLUSH: what was typed ahead is for the process.
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _leave() -> None:
    raise Failure(INTERRUPTED)


def _forwarding(courier: Courier, kill: Callable[[str], object]) -> dict[int, Callable[[], object]]:
    asked = 0

    def forward(number: signal.Signals) -> None:
        nonlocal asked
        asked += number in (signal.SIGINT, signal.SIGTERM)
        name = "SIGKILL" if asked >= 3 else number.name
        courier.send(lambda: kill(name))

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
    return {number: lambda number=number: forward(number) for number in numbers}  # type: ignore[misc]  # a bound loop variable


def _tell_size(resize: Callable[[int, int], object]) -> None:
    for stream in (sys.stdout, sys.stdin, sys.stderr):
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            continue
        resize(size.lines, size.columns)
        return


def _relay(stream: Stream, cleanup: ExitStack, keys: DetachKeys, *, has_input: bool) -> None:
    if has_input:
        sending = _Sending(stream, sys.stdin.fileno(), keys)
        cleanup.callback(sending.stop)
    _copy_output(stream, unbuffered(sys.stdout), unbuffered(sys.stderr))


def _copy_output(stream: Stream, out: WriteBytes, err: WriteBytes) -> None:
    for number, data in stream.read_frames():
        (err if number == _STDERR else out)(data)


class _Sending:
    """Copies standard input to the process, in a thread that can be stopped while it waits for a key."""

    def __init__(self, stream: Stream, fd: int, keys: DetachKeys) -> None:
        self._stream = stream
        self._keys = keys
        self._fd = fd
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="stdin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more: what is typed from now on is the next program's."""
        os.close(self._wake_write)
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            os.close(self._wake_read)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poller.poll()}
                if self._wake_read in ready:
                    return
                data = os.read(self._fd, _READ_BYTES)
                if not data:
                    self._stream.close_write()
                    return
                self._stream.send(self._keys.feed(data))
                if self._keys.was_typed:
                    self._stream.leave()
                    return
        except (EngineUnreachable, OSError):
            return  # the process is gone; its last output says so
