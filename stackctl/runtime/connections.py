"""The supervisor's side of its private socket: many connections, never blocking the loop."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from stackctl.errors import EngineError, StackctlError, kind_of
from stackctl.runtime.loop import READABLE, WRITABLE, Loop
from stackctl.runtime.messages import Receiver, pack
from stackctl.wire.protocol import PROTOCOL
from stackctl.wire.wire_error import WireError

Message = dict[str, Any]
Handler = Callable[[Message, "tuple[int, ...]", "Reply"], None]
_FULL_PAUSE_S: Final = 0.1
_BACKLOG: Final = 64


class Reply:
    """The answer to one request; answering twice does nothing, nor does answering somebody who left."""

    def __init__(self, connection: _Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._is_answered = False
        self._abandoned: Callable[[], None] | None = None

    def ok(self, result: Message | None = None, fds: tuple[int, ...] = ()) -> None:
        """Answer with success."""
        self._answer({"id": self._number, "ok": result or {}}, fds)

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self._answer({"id": self._number, "error": _shape(error)}, ())

    def event(self, result: Message, fds: tuple[int, ...] = ()) -> None:
        """Tell something before the answer."""
        self._connection.send({"id": self._number, "event": result}, fds)

    def when_abandoned(self, callback: Callable[[], None]) -> None:
        """Call back if the asker leaves, or withdraws the question, before it is answered."""
        self._abandoned = callback

    def abandon(self) -> None:
        """The asker has left."""
        callback, self._abandoned, self._is_answered = self._abandoned, None, True
        if callback is not None:
            callback()

    def _answer(self, message: Message, fds: tuple[int, ...]) -> None:
        if self._is_answered:
            return
        self._is_answered, self._abandoned = True, None
        self._connection.forget(self._number)
        self._connection.send(message, fds)


def _shape(error: Exception) -> Message:
    if isinstance(error, OSError) and error.strerror:
        subject = f": {error.filename}" if error.filename else ""
        error = EngineError(f"{error.strerror}{subject}", code="system")
    if not isinstance(error, StackctlError):
        return {"kind": type(error).__name__, "code": "internal", "message": str(error), "hint": ""}
    return {
        "kind": kind_of(error),
        "code": error.code,
        "message": str(error),
        "hint": error.hint,
        "field": error.field,
    }


class _Connection:
    def __init__(self, sock: socket.socket, loop: Loop, handler: Handler) -> None:
        self._sock = sock
        self._loop = loop
        self._handler = handler
        self._receiver = Receiver()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._replies: dict[int, Reply] = {}
        self._is_open = True
        sock.setblocking(False)
        loop.register(sock.fileno(), self._on_ready)

    def send(self, message: Message, fds: tuple[int, ...]) -> None:
        if not self._is_open:
            return
        data = pack({**message, "fds": len(fds)} if fds else message)
        # What waits in the queue needs descriptors of its own: the caller closes his.
        self._outgoing.append((data, tuple(os.dup(fd) for fd in fds)))
        self._flush()

    def forget(self, number: int) -> None:
        self._replies.pop(number, None)

    def _on_ready(self) -> None:
        self._flush()
        try:
            messages = self._receiver.receive(self._sock)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            messages = None
        if messages is None:
            self._close()
            return
        for message, fds in messages:
            self._handle(message, fds)

    def _handle(self, message: Message, fds: tuple[int, ...]) -> None:
        number = message.get("id", 0)
        if message.get("op") == "withdraw":
            withdrawn = self._replies.pop(message.get("of", 0), None)
            if withdrawn is not None:
                withdrawn.abandon()
            return
        reply = Reply(self, number)
        self._replies[number] = reply
        try:
            if message.get("v") != PROTOCOL:
                raise EngineError(
                    f"the supervisor speaks protocol {PROTOCOL}, not {message.get('v')}", code="protocol-version"
                )
            self._handler(message, fds, reply)
        except (StackctlError, OSError, WireError, KeyError) as error:
            reply.fail(error)
        finally:
            for fd in fds:
                os.close(fd)

    def _flush(self) -> None:
        while self._outgoing:
            data, fds = self._outgoing[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
            try:
                sent = self._sock.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.modify(self._sock.fileno(), READABLE | WRITABLE)
                return
            except OSError:
                self._close()
                return
            for fd in fds:
                os.close(fd)
            self._outgoing.popleft()
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], ()))
        self._loop.modify(self._sock.fileno(), READABLE)

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._loop.unregister(self._sock.fileno())
        self._sock.close()
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()
        for reply in list(self._replies.values()):
            reply.abandon()
        self._replies.clear()


def listen(path: str, loop: Loop, handler: Handler) -> socket.socket:
    """Listen at ``path``, replacing what is there, and hand every request to ``handler``."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{path}.{os.getpid()}"
    sock.bind(temporary)
    os.chmod(temporary, 0o600)
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    os.rename(temporary, path)

    def accept() -> None:
        try:
            accepted, _ = sock.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptor left: who knocks waits until there is one
            loop.unregister(sock.fileno())
            loop.call_later(_FULL_PAUSE_S, lambda: loop.register(sock.fileno(), accept))
            return
        _Connection(accepted, loop, handler)

    loop.register(sock.fileno(), accept)
    return sock
