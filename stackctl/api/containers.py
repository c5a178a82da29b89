"""Routes of containers and of processes in them."""

from __future__ import annotations

import json
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.container_json import inspect_json, list_json, top_json
from stackctl.api.routing import Answer, Route
from stackctl.engines.console import ExecRequest, LocalConsole, LogQuery
from stackctl.wire.frames import MULTIPLEXED, RAW, encode

Arguments = dict[str, str]


class Streams(Protocol):
    """A process's streams as a hijacked connection needs them."""

    is_terminal: bool

    def read(self) -> Iterator[tuple[int, bytes]]: ...
    def write(self, data: bytes) -> None: ...
    def close_stdin(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class ContainerRoutes:
    """``/containers`` and ``/exec``."""

    def __init__(self, console: LocalConsole) -> None:
        self._console = console

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/containers/json", self._list),
            Route("GET", "/containers/{id}/json", self._inspect),
            Route("GET", "/containers/{id}/logs", self._logs),
            Route("GET", "/containers/{id}/top", self._top),
            Route("POST", "/containers/{id}/start", self._start),
            Route("POST", "/containers/{id}/stop", self._stop),
            Route("POST", "/containers/{id}/restart", self._restart),
            Route("POST", "/containers/{id}/kill", self._kill),
            Route("POST", "/containers/{id}/wait", self._wait),
            Route("POST", "/containers/{id}/attach", self._attach),
            Route("POST", "/containers/{id}/resize", self._resize),
            Route("POST", "/containers/{id}/exec", self._exec_create),
            Route("DELETE", "/containers/{id}", self._remove),
            Route("POST", "/exec/{id}/start", self._exec_start),
            Route("POST", "/exec/{id}/resize", self._exec_resize),
            Route("GET", "/exec/{id}/json", self._exec_inspect),
        ]

    def _list(self, request: Request, _: Connection, __: Arguments) -> Answer:
        found = self._console.list(is_all=request.flag("all"), filters=filters_of(request))
        limit = request.value("limit")
        if limit.isdigit() and int(limit):
            found = found[: int(limit)]
        return Answer(200, [list_json(container) for container in found])

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, inspect_json(self._console.find(arguments["id"])))

    def _start(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        if self._console.find(arguments["id"]).state == "running":
            return Answer(304)
        self._console.start(arguments["id"])
        return Answer(204)

    def _stop(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        if self._console.find(arguments["id"]).state not in ("running", "restarting", "paused"):
            return Answer(304)
        self._console.stop(arguments["id"], _seconds(request))
        return Answer(204)

    def _restart(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.restart(arguments["id"], _seconds(request))
        return Answer(204)

    def _kill(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.kill(arguments["id"], request.value("signal") or "SIGKILL")
        return Answer(204)

    def _wait(self, request: Request, connection: Connection, arguments: Arguments) -> Answer:
        condition = request.value("condition") or "not-running"
        code = self._console.wait(arguments["id"], condition, connection.is_gone)
        if code is None:
            raise ClientGone
        return Answer(200, {"StatusCode": code})

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.remove(arguments["id"], force=request.flag("force"), with_volumes=request.flag("v"))
        return Answer(204)

    def _logs(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        container = self._console.find(arguments["id"])
        is_raw = container.spec is not None and container.spec.tty
        tail = request.value("tail", "all")
        query = LogQuery(
            follow=request.flag("follow"),
            tail=int(tail) if tail.isdigit() else None,
            since_ns=_nanoseconds(request.value("since")),
            until_ns=_nanoseconds(request.value("until")),
        )
        wanted = {1} if request.flag("stdout") else set()
        wanted |= {2} if request.flag("stderr") else set()
        if not wanted:
            raise BadRequest("Bad parameters: you must choose at least one stream")
        connection.begin_stream(RAW if is_raw else MULTIPLEXED)
        stamps = _Stamps() if request.flag("timestamps") else None
        for chunk in self._console.logs(container.id, query, connection.fileno()):
            if chunk.stream not in wanted:
                continue
            data = stamps.add(chunk.time_ns, chunk.stream, chunk.data) if stamps else chunk.data
            connection.stream(data if is_raw else encode(chunk.stream, data))
        connection.end_stream()

    def _top(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, top_json(self._console.top(arguments["id"]), time.time()))

    def _attach(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        streams = self._console.attach(
            arguments["id"], with_input=request.flag("stdin"), from_start=request.flag("logs")
        )
        relay(request, connection, streams)

    def _resize(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.resize(arguments["id"], _size(request, "h"), _size(request, "w"))
        return Answer(200)

    def _exec_create(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        body = request.json()
        argv = body.get("Cmd") if isinstance(body, dict) else None
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise BadRequest("No exec command specified")
        wanted = ExecRequest(
            argv=tuple(argv),
            env=tuple(str(entry) for entry in body.get("Env") or ()),
            user=str(body.get("User") or ""),
            working_dir=str(body.get("WorkingDir") or ""),
            tty=bool(body.get("Tty")),
            stdin=bool(body.get("AttachStdin")),
            privileged=bool(body.get("Privileged")),
        )
        return Answer(201, {"Id": self._console.exec_create(arguments["id"], wanted)})

    def _exec_start(self, request: Request, connection: Connection, arguments: Arguments) -> Answer | None:
        body = request.json()
        detach = bool(body.get("Detach")) if isinstance(body, dict) else False
        streams = self._console.exec_start(arguments["id"], detach=detach)
        if streams is None:
            return Answer(200)
        relay(request, connection, streams)
        return None

    def _exec_resize(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.exec_resize(arguments["id"], _size(request, "h"), _size(request, "w"))
        return Answer(201)

    def _exec_inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        process = self._console.exec_find(arguments["id"])
        if process.pid:
            # The end of the streams may be seen a moment before the exit is.
            process.ended.wait(0.5 if process.streams is not None and process.streams.has_ended else 0)
        config = {
            "entrypoint": process.request.argv[0],
            "arguments": list(process.request.argv[1:]),
            "tty": process.request.tty,
            "user": process.request.user,
            "privileged": process.request.privileged,
        }
        return Answer(
            200,
            {
                "ID": process.id,
                "Running": bool(process.pid) and not process.ended.is_set(),
                "ExitCode": process.exit_code,
                "ProcessConfig": config,
                "OpenStdin": process.request.stdin,
                "ContainerID": process.container_id,
                "Pid": process.pid,
            },
        )


def relay(request: Request, connection: Connection, streams: Streams) -> None:
    """Join a hijacked connection and a process until the process's output ends or the client leaves.

    The client's half-close ends the process's input only. When it is gone altogether the streams are closed:
    a terminal hangs up, pipes break at the process's next write.
    """
    is_upgrade = "upgrade" in request.headers.get("connection", "").lower()
    kind = RAW if streams.is_terminal else MULTIPLEXED
    try:
        sock, early = connection.hijack(kind, is_upgrade=is_upgrade)
        feeder = threading.Thread(target=_feed, args=(sock, early, streams), name="input", daemon=True)
        feeder.start()
        _drain(streams, lambda stream, data: sock.sendall(data if streams.is_terminal else encode(stream, data)))
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


def _feed(sock: socket.socket, early: bytes, streams: Streams) -> None:
    data = early
    try:
        while True:
            if data:
                streams.write(data)
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


def filters_of(request: Request) -> dict[str, list[str]]:
    """Return Docker's ``filters``: a JSON object of lists, or of objects whose keys count. Raises BadRequest."""
    text = request.value("filters")
    if not text:
        return {}
    try:
        shape: Any = json.loads(text)
        return {
            key: [str(value) for value in (values if isinstance(values, list) else [k for k, v in values.items() if v])]
            for key, values in shape.items()
        }
    except (ValueError, AttributeError) as error:
        raise BadRequest("invalid filters") from error


def _seconds(request: Request) -> float | None:
    text = request.value("t")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError as error:
        raise BadRequest(f"t: {text!r} is no number of seconds") from error


def _nanoseconds(text: str) -> int:
    try:
        return int(float(text) * 1_000_000_000) if text else 0
    except ValueError as error:
        raise BadRequest(f"{text!r} is no time in seconds since the epoch") from error


def _size(request: Request, name: str) -> int:
    text = request.value(name)
    if not text.isdigit() or not int(text) < 65536:
        raise BadRequest(f"{name} must be a number of characters")
    return int(text)
