"""Making processes in containers: descriptors and plans in, a child out, the report of its start back."""

from __future__ import annotations

import gc
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stackctl.errors import ContainerError
from stackctl.runtime.init.plan import STAGES
from stackctl.runtime.loop import Loop

_HEADER: Final = struct.Struct("<BHH")
_NO_SUCH_FILE: Final = 2
_PERMISSION: Final = 13
_EXEC_FORMAT: Final = 8


@dataclass(slots=True)
class Report:
    """The two descriptors by which a child tells how its start went: the error pipe and the channel."""

    error_read: int
    error_write: int
    channel: socket.socket | None
    child_channel: socket.socket | None

    @classmethod
    def open(cls) -> Report:
        """Make both. Raises OSError."""
        error_read, error_write = os.pipe2(os.O_CLOEXEC)
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            os.close(error_read)
            os.close(error_write)
            raise
        return cls(error_read, error_write, ours, theirs)

    @classmethod
    def of_orphan(cls, error_read: int) -> Report:
        """Return what is left of one whose supervisor died: the child may report, and hears nothing any more."""
        return cls(error_read, -1, None, None)

    def close_child_ends(self) -> None:
        """Close what the child has its own copies of; needed for the end of file that means success."""
        os.close(self.error_write)
        if self.child_channel is not None:
            self.child_channel.close()

    def close(self) -> None:
        """Close our ends."""
        os.close(self.error_read)
        if self.channel is not None:
            self.channel.close()

    def close_in_child(self) -> None:
        """Close, in the child, our end of the channel: it would never see that we are gone."""
        if self.channel is not None:
            os.close(self.channel.fileno())

    def said(self) -> bytes:
        """Return what the child has reported by now, b"" for nothing."""
        os.set_blocking(self.error_read, False)
        try:
            return os.read(self.error_read, 4096)
        except BlockingIOError:
            return b""

    @property
    def child_channel_fd(self) -> int:
        """The child's end of the channel; -1 when it is closed."""
        return -1 if self.child_channel is None else self.child_channel.fileno()

    def take_terminal(self) -> int:
        """Return the terminal's master that the child sent, -1 for none."""
        if self.channel is None:
            return -1
        self.channel.setblocking(False)
        try:
            _, fds, _, _ = socket.recv_fds(self.channel, 1, 1)
        except BlockingIOError:
            return -1
        return fds[0] if fds else -1

    def release(self) -> None:
        """Let the child go on to execute: its network is ready."""
        if self.channel is not None:
            self.channel.send(b"g")


def when_started(loop: Loop, report: Report, done: Callable[[bytes], None]) -> Callable[[], None]:
    """Call ``done`` once: with b"" when the child has executed, else with its report.

    Returns a function that looks now, and waits for it if need be.
    """

    def on_readable() -> None:
        data = os.read(report.error_read, 4096)
        loop.unregister(report.error_read)
        done(data)

    loop.register(report.error_read, on_readable)
    return on_readable


def failure(report: bytes, what: str, argv0: str) -> ContainerError:
    """Turn a child's report into the error a user can act on."""
    stage, number, length = _HEADER.unpack_from(report)
    field = report[_HEADER.size : _HEADER.size + length].decode("utf-8", "surrogateescape")
    detail = report[_HEADER.size + length :].decode("utf-8", "replace")
    name = STAGES[stage] if stage < len(STAGES) else "start"
    if name == "exec":
        return _exec_failure(number, what, argv0)
    if name == "user":
        return ContainerError(f"{what}: {detail or os.strerror(number)}", code="user-not-found", field=field)
    item = field.partition(".")[2]
    detail = "" if detail.startswith("/proc/self/fd/") else detail  # a number of the child's own says nothing
    parts = dict.fromkeys((what, name, item, detail, os.strerror(number) if number else ""))
    return ContainerError(": ".join(part for part in parts if part), code="container-start", field=field)


def _exec_failure(number: int, what: str, argv0: str) -> ContainerError:
    if number == _NO_SUCH_FILE:
        return ContainerError(
            f"{what}: command not found in the image: {argv0}",
            code="command-not-found",
            hint="check command and entrypoint, and that the image holds the program and its interpreter",
            field="argv.0",
        )
    if number == _PERMISSION:
        message = f"{what}: command is not executable: {argv0}"
        return ContainerError(message, code="command-not-executable", field="argv.0")
    if number == _EXEC_FORMAT:
        return ContainerError(
            f"{what}: command has no format this machine can execute: {argv0}",
            code="command-wrong-format",
            hint="the image may be for another architecture, or a script may lack its #! line",
            field="argv.0",
        )
    return ContainerError(f"{what}: {argv0}: {os.strerror(number)}", code="container-start", field="argv.0")


def calm_collector() -> None:
    """Keep the garbage collector from touching, and so copying, every page of ours in each child."""
    gc.collect()
    gc.freeze()
    gc.disable()
