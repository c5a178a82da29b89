"""The daemon's side of the supervisor's private socket: one connection, any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from stackctl import errors
from stackctl.errors import EngineError, StackctlError, TransientError
from stackctl.runtime.messages import PROTOCOL, Receiver, send

Message = dict[str, Any]
_CONNECT_S: Final = 10.0
_POLL_S: Final = 0.005


@dataclass(slots=True, eq=False)
class Call:
    """A request under way. ``answers`` gets each event as ("event", …), then one ("ok", …) or ("error", …)."""

    number: int
    answers: queue.SimpleQueue[tuple[str, Message, tuple[int, ...]]] = field(default_factory=queue.SimpleQueue)

    def next(self, timeout_s: float | None = None) -> tuple[str, Message, tuple[int, ...]]:
        """Return the next event or the answer. Raises the error it brings, queue.Empty when it takes longer."""
        kind, message, fds = self.answers.get(timeout=timeout_s)
        if kind == "error":
            raise restore_error(message)
        return kind, message, fds


class SupervisorClient:
    """Asks the supervisor; connects again when that one was replaced."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._calls: dict[int, Call] = {}

    def call(self, op: str, fds: tuple[int, ...] = (), **arguments: Any) -> Message:
        """Ask and wait for the answer. Raises EngineError; TransientError when the supervisor went away."""
        call = self.begin(op, fds, **arguments)
        while True:
            kind, message, received = call.next()
            if kind == "ok":
                return message
            for fd in received:
                os.close(fd)

    def begin(self, op: str, fds: tuple[int, ...] = (), **arguments: Any) -> Call:
        """Ask; the answers come into the returned call."""
        call = Call(next(self._numbers))
        message = {"v": PROTOCOL, "id": call.number, "op": op, **arguments}
        with self._lock:
            sock = self._connected()
            self._calls[call.number] = call
            try:
                send(sock, message, fds)
            except OSError as error:
                self._calls.pop(call.number, None)
                self._drop(sock)
                raise TransientError("the supervisor went away", code="supervisor-gone") from error
        return call

    def withdraw(self, call: Call) -> None:
        """No longer wait for an answer; who does so now gets an error."""
        with self._lock:
            is_pending = self._calls.pop(call.number, None) is not None
            call.answers.put(("error", {"code": "withdrawn", "message": "withdrawn"}, ()))
            if is_pending and self._socket is not None:
                with contextlib.suppress(OSError):
                    send(self._socket, {"v": PROTOCOL, "id": 0, "op": "withdraw", "of": call.number})

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._socket is not None:
                self._drop(self._socket)

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        deadline = time.monotonic() + _CONNECT_S
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(self._path)
                break
            except OSError as error:
                # The keeper is starting another one: its socket appears when it has re-adopted everything.
                sock.close()
                if time.monotonic() > deadline:
                    raise TransientError("the supervisor does not answer", code="supervisor-gone") from error
                time.sleep(_POLL_S)
        self._socket = sock
        threading.Thread(target=self._read, args=(sock,), name="supervisor", daemon=True).start()
        return sock

    def _read(self, sock: socket.socket) -> None:
        receiver = Receiver()
        while True:
            try:
                messages = receiver.receive(sock)
            except (OSError, ValueError):
                messages = None
            if messages is None:
                break
            for message, fds in messages:
                self._deliver(message, fds)
        with self._lock:
            self._drop(sock)

    def _deliver(self, message: Message, fds: tuple[int, ...]) -> None:
        kind = next((kind for kind in ("event", "ok", "error") if kind in message), "error")
        with self._lock:
            calls = self._calls
            call = calls.get(message["id"]) if kind == "event" else calls.pop(message["id"], None)
        if call is None:
            for fd in fds:
                os.close(fd)
            return
        call.answers.put((kind, message[kind], fds))

    def _drop(self, sock: socket.socket) -> None:
        if self._socket is not sock:
            return
        self._socket = None
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        lost = {"kind": "TransientError", "code": "supervisor-gone", "message": "the supervisor went away"}
        for call in self._calls.values():
            call.answers.put(("error", lost, ()))
        self._calls.clear()


def restore_error(shape: Message) -> StackctlError:
    """Make the exception again that the other side described."""
    kind = getattr(errors, shape.get("kind", ""), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, StackctlError)):
        kind = EngineError
    return kind(shape.get("message", "failed"), code=shape.get("code"), hint=shape.get("hint", ""))


def events(client: SupervisorClient) -> Iterator[Message]:
    """Yield the facts of each container that changes, until the supervisor goes away."""
    call = client.begin("events")
    try:
        while True:
            yield call.next()[1]
    except TransientError:
        return
    finally:
        client.withdraw(call)
