"""Questions about names that are not ours, passed on to other servers.

Every question gets a socket of its own: its random port, besides the random id, is what keeps others from
answering in the server's place. What came over UDP goes on over UDP and a cut answer is passed back as it is,
so that the client comes again over TCP; what came over TCP goes on over TCP.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from stackctl.runtime.network import dns

_TIMEOUT_S: Final = 2.0
_SERVERS: Final = 3
_PER_CONTAINER: Final = 256
_DNS_PORT: Final = 53
_MESSAGE_BYTES: Final = 65535
_READABLE: Final = 0x001
_WRITABLE: Final = 0x004


class Timer(Protocol):
    """A call that is due."""

    def cancel(self) -> None:
        """Make it not happen."""


class Loop(Protocol):
    """What the DNS code needs of an event loop."""

    def register(self, fd: int, callback: Callable[[], None], events: int = ...) -> None:
        """Call back whenever ``fd`` is ready: readable, unless ``events`` (epoll bits) says otherwise."""

    def unregister(self, fd: int) -> None:
        """Stop watching ``fd``."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> Timer:
        """Call back once, after a while."""


Reply = Callable[[bytes], None]


class Forwarder:
    """Passes questions on, a bounded number of them for each container."""

    __slots__ = ("_loop", "_pending", "_port")

    def __init__(self, loop: Loop, *, port: int = _DNS_PORT) -> None:
        self._loop = loop
        self._port = port
        self._pending: dict[str, set[_Exchange]] = {}

    def ask(
        self,
        container_id: str,
        query: dns.Query,
        data: bytes,
        *,
        servers: tuple[str, ...],
        reply: Reply,
        is_tcp: bool,
    ) -> None:
        """Ask the servers one after the other and ``reply`` once: with the first answer, or with a failure.

        ``data`` is the message as it came; it goes on unchanged but for its id.
        """
        pending = self._pending.setdefault(container_id, set())
        if not servers or len(pending) >= _PER_CONTAINER:
            reply(dns.answer_code(query, dns.Code.SERVER_FAILURE))
            return
        exchange = _Exchange(self._loop, query, data, servers[:_SERVERS], reply, pending.discard)
        pending.add(exchange)
        exchange.begin(self._port, is_tcp=is_tcp)

    def forget(self, container_id: str) -> None:
        """Give up what a container asked; nobody is told."""
        for exchange in list(self._pending.pop(container_id, ())):
            exchange.abandon()


class _Exchange:
    """One question, on its way from server to server."""

    __slots__ = (
        "_buffer",
        "_data",
        "_id",
        "_is_tcp",
        "_loop",
        "_on_end",
        "_port",
        "_query",
        "_reply",
        "_servers",
        "_socket",
        "_timer",
    )

    def __init__(
        self,
        loop: Loop,
        query: dns.Query,
        data: bytes,
        servers: tuple[str, ...],
        reply: Reply,
        on_end: Callable[[_Exchange], None],
    ) -> None:
        self._loop, self._query, self._data, self._reply, self._on_end = loop, query, data, reply, on_end
        self._servers = list(servers)
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        self._buffer = b""
        self._id = 0
        self._is_tcp = False
        self._port = _DNS_PORT

    def begin(self, port: int, *, is_tcp: bool) -> None:
        """Ask the first server."""
        self._port, self._is_tcp = port, is_tcp
        self._next()

    def abandon(self) -> None:
        """Close the socket and forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _next(self) -> None:
        self.abandon()
        while self._servers:
            if self._ask(self._servers.pop(0)):
                return
        self._end(dns.answer_code(self._query, dns.Code.SERVER_FAILURE))

    def _end(self, answer: bytes) -> None:
        self.abandon()
        self._on_end(self)
        self._reply(dns.with_id(answer, self._query.id))

    def _ask(self, server: str) -> bool:
        self._id = int.from_bytes(os.urandom(2), "big")
        self._buffer = b""
        kind = socket.SOCK_STREAM if self._is_tcp else socket.SOCK_DGRAM
        try:
            made = _connect(server, self._port, kind)
        except (OSError, ValueError):
            return False  # not reachable, no address at all, or we have no descriptors left
        self._socket = made
        self._timer = self._loop.call_later(_TIMEOUT_S, self._next)
        if self._is_tcp:
            self._loop.register(made.fileno(), self._on_connected, _WRITABLE)
            return True
        self._loop.register(made.fileno(), self._on_datagram)
        return self._send(dns.with_id(self._data, self._id))

    def _send(self, message: bytes) -> bool:
        try:
            return self._socket is not None and self._socket.send(message) == len(message)
        except OSError:
            self.abandon()
            return False

    def _on_connected(self) -> None:
        if self._socket is None:
            return
        message = dns.with_id(self._data, self._id)
        if not self._send(len(message).to_bytes(2, "big") + message):
            self._next()
            return
        self._loop.unregister(self._socket.fileno())
        self._loop.register(self._socket.fileno(), self._on_stream, _READABLE)

    def _on_datagram(self) -> None:
        message = self._receive()
        if message is None:
            return
        if dns.answers(message, self._query, self._id):
            self._end(message)
        elif not message:
            self._next()

    def _on_stream(self) -> None:
        data = self._receive()
        if data is None:
            return
        if not data:
            self._next()
            return
        self._buffer += data
        if len(self._buffer) < 2 or len(self._buffer) < 2 + int.from_bytes(self._buffer[:2], "big"):
            return
        message = self._buffer[2 : 2 + int.from_bytes(self._buffer[:2], "big")]
        if dns.answers(message, self._query, self._id):
            self._end(message)
        else:
            self._next()

    def _receive(self) -> bytes | None:
        """Return what came, b"" for a refusal or the end, None when nothing did after all."""
        if self._socket is None:
            return None
        try:
            return self._socket.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""


def _connect(server: str, port: int, kind: socket.SocketKind) -> socket.socket:
    host, _, scope = server.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.inet_pton(family, host)  # a name would be looked up, and we would wait for ourselves
    place = (host, port) if family == socket.AF_INET else (host, port, 0, socket.if_nametoindex(scope) if scope else 0)
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.connect(place)
    except BlockingIOError:
        return made  # a TCP connection in the making
    except OSError:
        made.close()
        raise
    return made
