"""The daemon's side of the supervisor's private socket: one connection, any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from stackctl import errors
from stackctl.errors import EngineError, StackctlError, TransientError
from stackctl.runtime.messages import Receiver, send
from stackctl.wire.protocol import PROTOCOL

Message = dict[str, Any]
_CONNECT_S: Final = 10.0
_POLL_S: Final = 0.005
_MOST_ATTEMPTS: Final = 3
_REPEATABLE: Final = frozenset(
    """status list id-of stamp spoil-stamps start stop update wait await create-network create-volume""".split()
)


@dataclass(slots=True, eq=False)
class Call:
    """A request under way. ``answers`` gets each event as ("event", …), then one ("ok", …) or ("error", …)."""

    number: int
    message: Message = field(default_factory=dict)
    attempts: int = 1
    is_withdrawn: bool = False
    answers: queue.SimpleQueue[tuple[str, Message, tuple[int, ...]]] = field(default_factory=queue.SimpleQueue)

    def next(self, timeout_s: float | None = None) -> tuple[str, Message, tuple[int, ...]]:
        """Return the next event or the answer. Raises the error it brings, queue.Empty when it takes longer."""
        kind, message, fds = self.answers.get(timeout=timeout_s)
        if kind == "error":
            raise restore_error(message)
        return kind, message, fds

    def fail(self) -> None:
        """Answer that nobody is there."""
        lost = {"kind": "TransientError", "code": "supervisor-gone", "message": "the supervisor went away"}
        self.answers.put(("error", lost, ()))


class SupervisorClient:
    """Asks the supervisor; connects again when that one was replaced.

    What may be asked twice is asked again of the next supervisor by itself.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._calls: dict[int, Call] = {}
        self._lost: list[Call] = []

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
        number = next(self._numbers)
        call = Call(number, {"v": PROTOCOL, "id": number, "op": op, **arguments})
        with self._lock:
            self._send(call, fds)
        return call

    def _send(self, call: Call, fds: tuple[int, ...] = ()) -> None:
        for is_last in (False, True):
            sock = self._connected()
            self._calls[call.number] = call
            try:
                send(sock, call.message, fds)
                return
            except OSError as error:
                # It was dead already and has heard nothing: the next one may be asked, whatever it is.
                self._calls.pop(call.number, None)
                self._drop(sock)
                if is_last:
                    raise TransientError("the supervisor went away", code="supervisor-gone") from error

    def withdraw(self, call: Call) -> None:
        """No longer wait for an answer; who does so now gets an error."""
        with self._lock:
            call.is_withdrawn = True
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
            lost, self._lost = self._lost, []
        for call in lost:
            self._ask_again(call)

    def _ask_again(self, call: Call) -> None:
        call.attempts += 1
        with self._lock:
            if call.is_withdrawn:
                return
            try:
                self._send(call)
            except EngineError:
                call.fail()

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
        """Forget the connection; fail its calls, but for those that its reader makes again."""
        if self._socket is not sock:
            return
        self._socket = None
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        for call in self._calls.values():
            if call.message["op"] in _REPEATABLE and call.attempts < _MOST_ATTEMPTS:
                self._lost.append(call)
            else:
                call.fail()
        self._calls.clear()


def restore_error(shape: Message) -> StackctlError:
    """Make the exception again that the other side described."""
    kind = getattr(errors, shape.get("kind", ""), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, StackctlError)):
        kind = EngineError
    hint, field = shape.get("hint", ""), shape.get("field", "")
    return kind(shape.get("message", "failed"), code=shape.get("code"), hint=hint, field=field)
