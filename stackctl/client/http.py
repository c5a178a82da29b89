"""HTTP/1.1 over a socket: one connection a request. ``http.client`` would cost the CLI 27 ms to import."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Protocol

from stackctl.client.connection import Connection, Where, request_head, target_at
from stackctl.errors import EngineError, EngineUnreachable
from stackctl.wire.error_json import error_from_json
from stackctl.wire.frames import MULTIPLEXED, STDOUT, FrameDecoder, FrameError

_HEADERS: Final = 1000
_ERROR_BODY_BYTES: Final = 1 << 22
PATIENCE_S: Final = 30.0


class Readable(Protocol):
    """A file opened for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


class Response:
    """An answer whose body has not been read. Closes its connection when the body ends."""

    def __init__(self, connection: Connection, *, status: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises EngineUnreachable when it breaks off."""
        try:
            if self.status in (204, 304):
                return
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            elif "content-length" in self.headers:
                yield from self._exactly(_number(self.headers["content-length"], 10))
            else:
                yield from self._connection.read_to_end()
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the body as they are completed, without their ends."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest

    def json_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of a body of one JSON object a line."""
        with contextlib.closing(self.lines()) as lines:  # type: ignore[type-var]  # a generator
            for line in lines:
                value = _parse(line)
                if not isinstance(value, dict):
                    raise EngineError("the engine's answer is not a JSON object", code="bad-answer")
                yield value

    def frames(self, *, is_framed: bool | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) of a multiplexed body; of any other everything as stream 1.

        The answer says which it is, unless ``is_framed`` does: before API 1.42 it did not.
        """
        said = self.headers.get("content-type") == MULTIPLEXED
        return _frames(self.pieces(), is_framed=said if is_framed is None else is_framed)

    def json(self) -> Any:
        """Return the body, which is JSON."""
        return _parse(b"".join(self.pieces()))

    def finish(self) -> None:
        """Read the body and forget it."""
        for _ in self.pieces():
            pass

    def close(self) -> None:
        """Close the connection; any number of times."""
        self._connection.close()

    def _chunks(self) -> Iterator[bytes]:
        while size := _number(self._connection.read_line().partition(b";")[0].decode("latin-1"), 16):
            yield from self._exactly(size)
            if self._connection.read_line():
                raise EngineError("the engine's answer is not HTTP", code="bad-answer")
        while self._connection.read_line():
            pass

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._connection.read_some(size)
            size -= len(data)
            yield data


class Hijacked:
    """A connection that became a plain two-way stream.

    ``is_framed`` says whether the engine multiplexes stdout and stderr; without, it is a terminal's raw output.
    One thread may read while another sends.
    """

    def __init__(self, connection: Connection, *, is_framed: bool) -> None:
        self._connection = connection
        self.is_framed = is_framed

    def fileno(self) -> int:
        """Return the socket's descriptor, for poll; bytes may already wait in ``read_raw`` nevertheless."""
        return self._connection.socket.fileno()

    def read_raw(self) -> Iterator[bytes]:
        """Yield what comes until the engine ends the stream."""
        return self._connection.read_to_end()

    def read_frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) until the engine ends the stream; a raw one is all stream 1."""
        return _frames(self._connection.read_to_end(), is_framed=self.is_framed)

    def send(self, data: bytes) -> None:
        """Send to the process. Raises EngineUnreachable when the stream has ended."""
        self._connection.send(data)

    def close_write(self) -> None:
        """End the process's input; its output still comes."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Send and read no more; the process goes on. A thread that reads is woken."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Leave, and close the connection."""
        self.leave()
        self._connection.close()

    def __enter__(self) -> Hijacked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def request(
    path: Where,
    method: str,
    target: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> Response:
    """Send a request to the engine at ``path``; ``body`` is sent as JSON unless it is None.

    Raises EngineUnreachable, and what a status of 400 or more stands for.
    """
    connection = Connection(path, patience_s=patience_s)
    try:
        connection.send_request(
            request_head(method, target_at(path, target), {**_json_headers(body), **(headers or {})}) + _json_body(body)
        )
        return _checked(_read_response(connection))
    except BaseException:
        connection.close()
        raise


def upload(
    path: Where,
    target: str,
    source: Readable,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> Response:
    """Send all that ``source`` yields as a tar archive, never holding more than a piece of it.

    Returns when the answer begins, which may be before the upload ends. Raises what reading ``source`` raises.
    """
    from stackctl.client.upload import Upload  # threads: only for uploads

    connection = Connection(path, patience_s=patience_s)
    try:
        kind = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        connection.send_request(request_head(method, target_at(path, target), {**kind, **(headers or {})}))
        sending = Upload(connection.socket, source)
        try:
            return _checked(_read_response(connection))
        except EngineUnreachable:
            sending.raise_failure()
            raise
    except BaseException:
        connection.close()
        raise


def hijack(
    path: Where, target: str, *, body: object = None, patience_s: float = PATIENCE_S, is_framed: bool | None = None
) -> Hijacked:
    """POST a request whose answer is a two-way stream; ``is_framed`` as in ``Response.frames``.

    Raises as ``request`` does.
    """
    connection = Connection(path, patience_s=patience_s)
    try:
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        connection.send_request(
            request_head("POST", target_at(path, target), {**upgrade, **_json_headers(body)}) + _json_body(body)
        )
        response = _checked(_read_response(connection))
        if response.status not in (101, 200):
            raise EngineError(f"the engine did not open a stream ({response.status})", code="bad-answer")
    except BaseException:
        connection.close()
        raise
    said = response.headers.get("content-type") == MULTIPLEXED
    return Hijacked(connection, is_framed=said if is_framed is None else is_framed)


def quote(text: str) -> str:
    """Return ``text`` as one component of a URL."""
    if text.isalnum() and text.isascii():
        return text
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in b"-._~" else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def _json_headers(body: object) -> dict[str, str]:
    if body is None:
        return {"Content-Length": "0"}
    return {"Content-Type": "application/json", "Content-Length": str(len(_json_body(body)))}


def _json_body(body: object) -> bytes:
    return b"" if body is None else json.dumps(body, separators=(",", ":")).encode("ascii")


def _read_response(connection: Connection) -> Response:
    while True:
        words = connection.read_line().decode("latin-1").split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
            raise EngineError("the engine's answer is not HTTP", code="bad-answer")
        headers = _read_headers(connection)
        status = int(words[1])
        if status >= 200 or status == 101:
            return Response(connection, status=status, headers=headers)


def _read_headers(connection: Connection) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := connection.read_line():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > _HEADERS:
            raise EngineError("the engine's answer is not HTTP", code="bad-answer")
    return headers


def _checked(response: Response) -> Response:
    if response.status < 400:
        return response
    body = b""
    for piece in response.pieces():
        body += piece
        if len(body) > _ERROR_BODY_BYTES:
            break
    try:
        shape = json.loads(body)
    except ValueError:
        shape = {"message": body[:1000].decode("utf-8", "replace").strip()}
    raise error_from_json(shape, status=response.status)


def _frames(pieces: Iterator[bytes], *, is_framed: bool) -> Iterator[tuple[int, bytes]]:
    if not is_framed:
        for piece in pieces:
            yield STDOUT, piece
        return
    decoder = FrameDecoder()
    try:
        for piece in pieces:
            yield from decoder.feed(piece)
    except FrameError as error:
        raise EngineError(f"the engine's stream is broken: {error}", code="bad-answer") from error


def _number(text: str, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        number = -1
    if number < 0:
        raise EngineError("the engine's answer is not HTTP", code="bad-answer")
    return number


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise EngineError("the engine's answer is not JSON", code="bad-answer") from error
