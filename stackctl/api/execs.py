"""Routes of further processes in containers."""

from __future__ import annotations

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.detach_keys import parse_detach_keys
from stackctl.api.fields import Fields
from stackctl.api.query import size
from stackctl.api.routing import Answer, Route
from stackctl.api.start_errors import is_ours, told_to_docker
from stackctl.api.streams import relay, wants_upgrade
from stackctl.engines.execs import ExecRequest, Execs
from stackctl.errors import Conflict, ContainerError
from stackctl.wire.frames import RAW, STDOUT, encode

Arguments = dict[str, str]


class ExecRoutes:
    """``/containers/{id}/exec`` and ``/exec``."""

    def __init__(self, execs: Execs) -> None:
        self._execs = execs

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("POST", "/containers/{id}/exec", self._create),
            Route("POST", "/exec/{id}/start", self._start),
            Route("POST", "/exec/{id}/resize", self._resize),
            Route("GET", "/exec/{id}/json", self._inspect),
        ]

    def _create(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        body = Fields(request.json())
        argv = body.texts("Cmd")
        if not argv:
            raise BadRequest("No exec command specified")
        parse_detach_keys(body.text("DetachKeys"))
        wanted = ExecRequest(
            argv=argv,
            env=body.texts("Env"),
            user=body.text("User"),
            working_dir=body.text("WorkingDir"),
            tty=body.flag("Tty"),
            stdin=body.flag("AttachStdin"),
            privileged=body.flag("Privileged"),
            size=_console_size(body),
            detach_keys=body.text("DetachKeys"),
        )
        return Answer(201, {"Id": self._execs.create(arguments["id"], wanted)})

    def _start(self, request: Request, connection: Connection, arguments: Arguments) -> Answer | None:
        body = Fields(request.json())
        process = self._execs.find(arguments["id"])
        is_detached = body.flag("Detach")
        # A client of Docker's chooses the framing now, whatever the process has got.
        is_raw = body.flag("Tty") or (process.request.tty and is_ours(request))
        try:
            streams = self._execs.start(process.id, detach=is_detached)
        except (ContainerError, Conflict) as error:
            if is_detached or is_ours(request) or not isinstance(error, ContainerError):
                raise
            _tell_failure(request, connection, f"{told_to_docker(error, process.request.argv[0])}\r\n", is_raw=is_raw)
            return None
        if streams is None:
            return Answer(200)
        size_now = _console_size(body)
        if size_now is not None:
            streams.resize(*size_now)
        keys = parse_detach_keys(process.request.detach_keys)
        relay(request, connection, streams, is_raw=is_raw, keys=keys)
        return None

    def _resize(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        height, width = size(request, "h"), size(request, "w")
        self._execs.resize(arguments["id"], height, width)
        return Answer(200)

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        process = self._execs.find(arguments["id"])
        if process.pid:
            # The end of the streams may be seen a moment before the exit is.
            process.ended.wait(0.5 if process.streams is not None and process.streams.has_ended else 0)
        config = {
            "tty": process.request.tty,
            "entrypoint": process.request.argv[0],
            "arguments": list(process.request.argv[1:]),
            "privileged": process.request.privileged,
            "user": process.request.user,
        }
        return Answer(
            200,
            {
                "ID": process.id,
                "Running": bool(process.pid) and not process.ended.is_set(),
                "ExitCode": process.exit_code,
                "ProcessConfig": config,
                "OpenStdin": process.request.stdin,
                "OpenStderr": True,
                "OpenStdout": True,
                "CanRemove": process.ended.is_set(),
                "ContainerID": process.container_id,
                "DetachKeys": process.request.detach_keys,
                "Pid": process.pid,
            },
        )


def _console_size(body: Fields) -> tuple[int, int] | None:
    found = body.numbers("ConsoleSize")
    return (found[0], found[1]) if len(found) == 2 and all(0 < number < 65536 for number in found) else None


def _tell_failure(request: Request, connection: Connection, text: str, *, is_raw: bool) -> None:
    """Say why a process did not start where its client listens; the exit code tells it of the failure."""
    sock, _ = connection.hijack(RAW, is_upgrade=wants_upgrade(request))
    data = text.encode()
    sock.sendall(data if is_raw else encode(STDOUT, data))
