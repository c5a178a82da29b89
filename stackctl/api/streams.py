"""Streams of containers over HTTP: logs in chunks, and hijacked connections joined with a process."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.detach_keys import DetachKeys
from stackctl.engines.console import LocalConsole, LogQuery
from stackctl.wire.frames import MULTIPLEXED, RAW, encode


class Streams(Protocol):
    """A process's streams as a hijacked connection needs them."""

    is_terminal: bool

    def read(self) -> Iterator[tuple[int, bytes]]: ...
    def write(self, data: bytes) -> None: ...
    def close_stdin(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def send_logs(request: Request, connection: Connection, console: LocalConsole, name: str) -> None:
    """Answer with a container's log, framed unless it has a terminal. Raises BadRequest, NotFound."""
    container = console.find(name)
    is_raw = container.spec is not None and container.spec.tty
    tail = request.value("tail", "all")
    query = LogQuery(
        follow=request.flag("follow"),
        tail=int(tail) if tail.isdigit() else None,
        since_ns=nanoseconds(request.value("since")),
        until_ns=nanoseconds(request.value("until")),
    )
    wanted = {1} if request.flag("stdout") else set()
    wanted |= {2} if request.flag("stderr") else set()
    if not wanted:
        raise BadRequest("Bad parameters: you must choose at least one stream")
    connection.begin_stream(RAW if is_raw or not _knows_multiplexed(request) else MULTIPLEXED)
    stamps = _Stamps() if request.flag("timestamps") else None
    for chunk in console.logs(container.id, query, connection.fileno()):
        if chunk.stream in wanted:
            data = stamps.add(chunk.time_ns, chunk.stream, chunk.data) if stamps else chunk.data
            connection.stream(data if is_raw else encode(chunk.stream, data))
    connection.end_stream()


def replay(request: Request, connection: Connection, console: LocalConsole, name: str) -> None:
    """Answer an attach that does not follow: with the log so far if that is wanted, then the end."""
    container = console.find(name)
    is_raw = container.spec is not None and container.spec.tty
    sock, _ = connection.hijack(RAW if is_raw else MULTIPLEXED, is_upgrade=wants_upgrade(request))
    wanted = {number for number, flag in ((1, "stdout"), (2, "stderr")) if request.flag(flag)}
    for chunk in console.logs(container.id, LogQuery(), -1) if request.flag("logs") else ():
        if chunk.stream in wanted:
            sock.sendall(chunk.data if is_raw else encode(chunk.stream, chunk.data))


def wants_upgrade(request: Request) -> bool:
    """Say whether the client asks for another protocol on the connection."""
    return "upgrade" in request.headers.get("connection", "").lower()


def _knows_multiplexed(request: Request) -> bool:
    """Say whether the client speaks a version that has a content type of its own for frames (1.42)."""
    return request.version is None or request.version >= (1, 42)


def relay(request: Request, connection: Connection, streams: Streams, *, is_raw: bool, keys: bytes) -> None:
    """Join a hijacked connection and a process until the process's output ends or the client leaves.

    ``is_raw`` sends output without frames; ``keys`` are those by which a client at a terminal lets go.

    The client's half-close ends the process's input only. When it is gone altogether the streams are closed:
    a terminal hangs up, pipes break at the process's next write.
    """
    kind = RAW if is_raw or not _knows_multiplexed(request) else MULTIPLEXED
    try:
        sock, early = connection.hijack(kind, is_upgrade=wants_upgrade(request))
        feeder = threading.Thread(
            target=_feed, args=(sock, early, streams, DetachKeys(keys)), name="input", daemon=True
        )
        feeder.start()
        _drain(streams, lambda stream, data: sock.sendall(data if is_raw else encode(stream, data)))
        streams.stop()
        _shut(sock)
        feeder.join()
    finally:
        streams.close()


def _drain(streams: Streams, send: Callable[[int, bytes], None]) -> None:
    for stream, data in streams.read():
        try:
            send(stream, data)
        except OSError:
            return


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _feed(sock: socket.socket, early: bytes, streams: Streams, keys: DetachKeys) -> None:
    data = early
    try:
        while True:
            if data:
                typed = keys.feed(data) if streams.is_terminal else data
                streams.write(typed)
                if keys.are_complete:
                    streams.stop()
                    return
            data = sock.recv(1 << 16)
            if not data:
                break
        streams.close_stdin()
        _wait_until_gone(sock)
    except OSError:
        pass
    streams.stop()


def _wait_until_gone(sock: socket.socket) -> None:
    """Return when neither side can send any more."""
    poller = select.poll()
    poller.register(sock, 0)  # hang-ups and errors are told unasked
    poller.poll()


class _Stamps:
    """Puts a time before each line, also where lines come in pieces."""

    def __init__(self) -> None:
        self._is_inside: dict[int, bool] = {}

    def add(self, time_ns: int, stream: int, data: bytes) -> bytes:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ " % rest
        lines = re.findall(rb"[^\n]*\n|[^\n]+", data)  # splitlines() would end a line at each carriage return, too
        first, *others = lines or [b""]
        stamped = [first if self._is_inside.get(stream) else stamp + first, *(stamp + line for line in others)]
        self._is_inside[stream] = not data.endswith(b"\n")
        return b"".join(stamped)


def nanoseconds(text: str) -> int:
    try:
        return int(float(text) * 1_000_000_000) if text else 0
    except ValueError as error:
        raise BadRequest(f"{text!r} is no time in seconds since the epoch") from error
