"""A connection to an engine: lines and bytes in, bytes out, and who listens at the other end."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

from stackctl.errors import EngineError, EngineUnreachable
from stackctl.wire.protocol import HEADER, PROTOCOL

_PIECE_BYTES: Final = 1 << 16
_LINE_BYTES: Final = 1 << 16
_REPLACED_S: Final = 5.0
_PAUSE_S: Final = 0.02
_LOOK_S: Final = 1.5
_AGENT: Final = "stackctl"


class Dialer(Protocol):
    """Another way to an engine than a unix socket of this machine; its text is what to call the engine's address.

    ``prefix`` comes before every target: the version of the API that is spoken there.
    """

    @property
    def prefix(self) -> str: ...

    def dial(self, timeout_s: float) -> socket.socket:
        """Return a connected stream socket. Raises EngineUnreachable."""
        ...


Where: TypeAlias = str | Dialer
"""The path of a unix socket, or who knows the way."""


def target_at(where: Where, target: str) -> str:
    """Return the target as the engine there is to be asked for it."""
    return target if isinstance(where, str) else where.prefix + target


class Connection:
    """A connected socket and what was received but not yet used.

    Who waits longer than ``patience_s`` asks whether the engine is well; only one that does not answer ends the wait.
    """

    def __init__(self, path: Where, *, patience_s: float) -> None:
        self.path = path
        self._patience_s = patience_s
        self._buffer = b""
        self._stopped = 0
        self._socket = _connect(path, patience_s)
        self._peer = _process_behind(self._socket)
        self._socket.settimeout(None)

    @property
    def socket(self) -> socket.socket:
        """The socket itself."""
        return self._socket

    def take_leftover(self) -> bytes:
        """Return what was received beyond what has been read, once."""
        leftover, self._buffer = self._buffer, b""
        return leftover

    def send_request(self, data: bytes) -> None:
        """Send what an engine that is well takes at once. Raises EngineUnreachable."""
        self._socket.settimeout(self._patience_s)
        self.send(data)
        self._socket.settimeout(None)

    def send(self, data: bytes) -> None:
        """Send all of ``data``, however long that takes. Raises EngineUnreachable."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._lost(error) from error

    def read_line(self) -> bytes:
        """Return the next line without its end. Raises EngineUnreachable when there is none."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LINE_BYTES:
                raise EngineError("the engine's answer is not HTTP", code="bad-answer")
            self._buffer += self._receive_some()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def read_some(self, most: int) -> bytes:
        """Return 1 to ``most`` bytes. Raises EngineUnreachable at the end."""
        data = self._buffer or self._receive_some()
        self._buffer = data[most:]
        return data[:most]

    def read_to_end(self) -> Iterator[bytes]:
        """Yield what comes until the engine closes."""
        if self._buffer:
            yield self.take_leftover()
        while data := self._receive(_look_at_nothing):
            yield data

    def close(self) -> None:
        """Close; any number of times."""
        self._socket.close()

    def _receive_some(self) -> bytes:
        self._stopped = 0
        data = self._receive(self._look_at_processes)
        if not data:
            raise self._lost(None)
        return data

    def _receive(self, look: Callable[[], None]) -> bytes:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        for wait_s, is_patience_over in _waits(self._patience_s):
            if poller.poll(wait_s * 1000):
                break
            look()
            if is_patience_over and not _is_well(self.path, self._patience_s):
                raise self._lost(TimeoutError())
        try:
            return self._socket.recv(_PIECE_BYTES)
        except OSError as error:
            raise self._lost(error) from error

    def _look_at_processes(self) -> None:
        """Raise EngineUnreachable when a process of the engine is stopped, and was so at the last look."""
        from stackctl.client.stopped import stopped_error, stopped_process  # only for who has waited for long

        role, pid = stopped_process(self.path) if isinstance(self.path, str) else ("", 0)
        if pid and pid == self._stopped:
            raise stopped_error(role, pid)
        self._stopped = pid

    def _lost(self, error: OSError | None) -> EngineUnreachable:
        if isinstance(error, TimeoutError):
            return EngineUnreachable(
                f"the engine at {self.path} is there but does not answer",
                code="engine-silent",
                hint=f"end its daemon, it is brought back and containers go on: kill -9 {self._peer}"
                if isinstance(self.path, str)
                else "",
            )
        return EngineUnreachable(
            f"the engine at {self.path} closed the connection",
            code="engine-lost",
            hint="it may have been stopped or replaced: run the command again",
        )


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request, up to its body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: stackctl", f"User-Agent: {_AGENT}", f"{HEADER}: {PROTOCOL}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "Connection" not in headers:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _look_at_nothing() -> None:
    """Whoever has a stream of a process needs nobody but who carries it."""


def _waits(patience_s: float) -> Iterator[tuple[float, bool]]:
    """Yield for how long to wait, and whether the patience is over then: two looks soon, then one each time it is."""
    first_s = patience_s
    if patience_s > 2 * _LOOK_S:
        first_s -= 2 * _LOOK_S
        yield _LOOK_S, False
        yield _LOOK_S, False
    yield first_s, True
    while True:
        yield patience_s, True


def _is_well(path: Where, patience_s: float) -> bool:
    """Return whether a further request is answered in time."""
    try:
        with _connect(path, patience_s) as sock:
            sock.sendall(request_head("GET", target_at(path, "/_ping"), {}))
            return bool(sock.recv(1))
    except (OSError, EngineUnreachable):
        return False


def _process_behind(sock: socket.socket) -> int:
    """Return the process that listens at the other end."""
    pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def _connect(path: Where, timeout_s: float) -> socket.socket:
    if not isinstance(path, str):
        return path.dial(timeout_s)
    deadline = time.monotonic() + _REPLACED_S
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout_s)
            sock.connect(path)
            return sock
        except OSError as error:
            sock.close()
            # Refused: who listened has just died without taking the socket along; another is on its way.
            if not isinstance(error, ConnectionRefusedError) or time.monotonic() > deadline:
                raise _unreachable(path, error) from error
        time.sleep(_PAUSE_S)


def _unreachable(path: str, error: OSError) -> EngineUnreachable:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return EngineUnreachable(f"no engine is running at {path}", hint="`stackctl engine start` starts one")
    if isinstance(error, PermissionError):
        return EngineUnreachable(
            f"you may not use the engine at {path}",
            code="engine-permission",
            hint="run the command as the user who started the engine, or as root",
        )
    return EngineUnreachable(f"the engine at {path} cannot be reached: {error.strerror or error}")
