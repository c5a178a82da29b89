"""One HTTP/1.1 connection: h11 between a blocking socket and handlers. Source: RFC 9112."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import h11

from stackctl import __version__
from stackctl.wire.protocol import HEADER, PROTOCOL

API_VERSION: Final = "1.51"
MINIMUM_VERSION: Final = "1.24"
_READ_BYTES: Final = 1 << 16
_IDLE_S: Final = 300.0
_HEADER_S: Final = 30.0
_MOST_HEADER_BYTES: Final = 128 * 1024
_MOST_DISCARDED_BYTES: Final = 1 << 30
_DISCARD_S: Final = 5.0
# docker-py drops bytes that arrive together with the head of a hijacked answer.
_HIJACK_PAUSE_S: Final = 0.005
_FALSE: Final = ("", "0", "no", "false", "none")
MOST_JSON_BYTES: Final = 64 << 20


class BadRequest(Exception):
    """The request makes no sense; the text says why."""


class ClientGone(Exception):
    """The client closed the connection."""


class Request:
    """One request. Its body is read by who wants it, as a stream or as JSON. ``version`` is what its path asks for."""

    def __init__(self, connection: Connection, head: h11.Request) -> None:
        text = head.target.decode("ascii", "replace")
        # ``//x`` is a path too, and no host.
        target = urlsplit("/" + text.lstrip("/") if text.startswith("/") else text)
        self.method = head.method.decode("ascii")
        self.path = unquote(target.path)
        self.query = {key: values for key, values in parse_qs(target.query, keep_blank_values=True).items()}
        self.headers = {key.decode("ascii").lower(): value.decode("latin-1") for key, value in head.headers}
        self.version: tuple[int, int] | None = None
        self._connection = connection

    def value(self, name: str, default: str = "") -> str:
        """Return the first query value of that name."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Return a query value as Docker reads booleans."""
        return self.value(name).strip().lower() not in _FALSE

    def body(self) -> Iterator[bytes]:
        """Yield the body as it comes."""
        return self._connection.read_body()

    def json(self) -> Any:
        """Return the body as JSON, {} when there is none. Raises BadRequest. ``fields.Fields`` reads it as Go does."""
        data = bytearray()
        for piece in self.body():
            data += piece
            if len(data) > MOST_JSON_BYTES:
                raise BadRequest("the request body is too large")
        # A form of another site can post any body, but not under this name.
        if data and self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise BadRequest("the Content-Type of a request with a body must be application/json")
        try:
            return json.loads(data) if data else {}
        except ValueError as error:
            raise BadRequest(f"the request body is no JSON: {error}") from error


class Connection:
    """Reads requests and writes answers on one socket; used by one thread, ``is_gone`` by any."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEADER_BYTES)
        self.is_hijacked = False
        self._is_head = False

    def next_request(self) -> Request | None:
        """Return the next request, None when the client is done. Raises BadRequest."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        if self._h11.our_state is not h11.IDLE:
            return None
        self._sock.settimeout(_IDLE_S)
        event = self._next_event(piece_s=_HEADER_S)
        if not isinstance(event, h11.Request):
            return None
        self._is_head = event.method == b"HEAD"
        return Request(self, event)

    def read_body(self) -> Iterator[bytes]:
        """Yield the body of the present request."""
        # Whoever sends it may itself wait, for a download or a key: only its leaving ends this.
        self._sock.settimeout(None)
        if self._h11.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        while self._h11.their_state is h11.SEND_BODY:
            event = self._next_event(piece_s=None)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif not isinstance(event, h11.EndOfMessage):
                raise ClientGone

    def answer(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        head = {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
        self._respond(status, head)
        if body and not self._is_head:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def discard_body(self) -> None:
        """Read what is left of a request that was answered early: closing on it would lose the answer."""
        self._sock.settimeout(_DISCARD_S)
        count = 0
        try:
            while self._h11.their_state is h11.SEND_BODY and count < _MOST_DISCARDED_BYTES:
                event = self._next_event(piece_s=_DISCARD_S)
                if not isinstance(event, h11.Data | h11.EndOfMessage):
                    return
                count += len(event.data) if isinstance(event, h11.Data) else 0
        except BadRequest:
            return

    def begin_stream(self, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Begin an answer whose length is not known; it goes out in chunks."""
        self._respond(200, {"Content-Type": kind, "Transfer-Encoding": "chunked", **(headers or {})})

    def stream(self, data: bytes) -> None:
        """Send a piece of a streamed answer. Raises ClientGone."""
        if data and not self._is_head:
            self._send(h11.Data(data=data))

    def end_stream(self) -> None:
        """End a streamed answer."""
        self._send(h11.EndOfMessage())

    def hijack(self, kind: str, *, is_upgrade: bool) -> tuple[socket.socket, bytes]:
        """Turn the connection into a plain stream; return the socket and what came after the request."""
        self.is_hijacked = True
        for _ in self.read_body():
            pass
        trailing, _ = self._h11.trailing_data
        status = b"101 UPGRADED" if is_upgrade else b"200 OK"
        upgrade = b"Connection: Upgrade\r\nUpgrade: tcp\r\n" if is_upgrade else b""
        self._sock.settimeout(None)
        self._write(b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind.encode() + b"\r\n" + upgrade + b"\r\n")
        time.sleep(_HIJACK_PAUSE_S)
        return self._sock, trailing

    def is_gone(self) -> bool:
        """Say whether the client has closed its end."""
        poller = select.poll()
        poller.register(self._sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        return bool(poller.poll(0))

    def fileno(self) -> int:
        """Return the socket's descriptor, readable or hung up when the client goes."""
        return self._sock.fileno()

    def _respond(self, status: int, headers: Mapping[str, str]) -> None:
        common = {
            "Server": f"stackctl/{__version__} (linux)",
            "Api-Version": API_VERSION,
            "Docker-Experimental": "false",
            "Ostype": "linux",
            HEADER: str(PROTOCOL),
        }
        listed = [(key.encode(), value.encode()) for key, value in {**common, **headers}.items()]
        self._send(h11.Response(status_code=status, headers=listed))

    def _next_event(self, *, piece_s: float | None) -> Any:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise BadRequest(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                data = self._sock.recv(_READ_BYTES)
            except TimeoutError:
                return h11.ConnectionClosed()
            except OSError as error:
                raise ClientGone from error
            self._h11.receive_data(data)
            self._sock.settimeout(piece_s)

    def _send(self, event: Any) -> None:
        data = self._h11.send(event)
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            self._sock.settimeout(None)
            self._sock.sendall(data)
        except OSError as error:
            raise ClientGone from error

    def close(self) -> None:
        """Close the socket, output first so that what was sent arrives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
