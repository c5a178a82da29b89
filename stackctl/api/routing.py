"""Routes, and the one table from errors to statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stackctl import errors
from stackctl.api.connection import API_VERSION, MINIMUM_VERSION, BadRequest, Connection, Request
from stackctl.wire.error_json import error_to_json
from stackctl.wire.protocol import HEADER, PROTOCOL

Handler = Callable[[Request, Connection, "dict[str, str]"], "Answer | None"]
_VERSION: Final = re.compile(r"/v(\d+)\.(\d+)(?=/)")
_PING: Final = "/_ping"

STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (BadRequest, 400),
    (errors.UsageError, 400),
    (errors.StackFileError, 422),
    (errors.PlanError, 422),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PrivilegeError, 403),
    (errors.ImageError, 400),
    (errors.TransientError, 503),
    (errors.StackctlError, 500),
)
# Where Docker's clients expect another status than the error's class has.
_STATUS_OF_CODE: Final = {
    "command-not-found": 400,
    "command-not-executable": 400,
    "command-wrong-format": 400,
    "unknown-signal": 400,
    "invalid-name": 400,
    "no-command": 400,
    "bind-source-missing": 400,
    "user-not-found": 400,
    "container-not-paused": 500,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: ``value`` as JSON, or ``text`` as it is; neither is an empty body."""

    status: int = 200
    value: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a pattern such as ``/containers/{id}/json``, and who answers. A handler that streams returns None."""

    method: str
    pattern: str
    handler: Handler


class Router:
    """Finds the route of a request, and answers what has none."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, _compile(route.pattern)) for route in routes]

    def dispatch(self, request: Request, connection: Connection) -> None:
        """Answer one request. Errors become answers; raises ClientGone."""
        try:
            path = _unversioned(request)
            _check_protocol(request, path)
            answer = self._find(request, connection, path)
        except Exception as error:  # the edge where every error becomes a status
            if connection.is_hijacked:
                raise
            answer = error_answer(error)
        if answer is not None:
            _send(connection, answer)
            connection.discard_body()

    def _find(self, request: Request, connection: Connection, path: str) -> Answer | None:
        # HEAD on what only GET serves is GET without a body, which the connection leaves out by itself.
        methods = ("HEAD", "GET") if request.method == "HEAD" else (request.method,)
        for method in methods:
            for route, pattern in self._routes:
                if route.method == method and (found := pattern.fullmatch(path)) is not None:
                    return route.handler(request, connection, found.groupdict())
        if request.method == "OPTIONS":
            return Answer(200)
        return Answer(404, {"message": "page not found"})


def _unversioned(request: Request) -> str:
    """Return the path without ``/v1.NN``, which is noted. Raises BadRequest for a version that is not spoken here."""
    path = request.path
    found = _VERSION.match(path)
    if found is None:
        return path
    asked = (int(found[1]), int(found[2]))
    spoken = f"{found[1]}.{found[2]}"
    if asked > _parts(API_VERSION):
        raise BadRequest(f"client version {spoken} is too new. Maximum supported API version is {API_VERSION}")
    if asked < _parts(MINIMUM_VERSION):
        raise BadRequest(
            f"client version {spoken} is too old. Minimum supported API version is {MINIMUM_VERSION}, "
            "please upgrade your client to a newer version"
        )
    request.version = asked
    return path[found.end() :]


def _parts(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _check_protocol(request: Request, path: str) -> None:
    """Refuse a `stackctl` that speaks otherwise, before anything is done. Docker's clients say nothing of it."""
    spoken = request.headers.get(HEADER.lower(), str(PROTOCOL))
    if spoken != str(PROTOCOL) and path != _PING:
        raise errors.Conflict(
            f"the engine speaks protocol {PROTOCOL}, not {spoken}",
            code="protocol-version",
            hint="run the command again; if that does not help, use a stackctl of the engine's version",
        )


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", pattern))


def error_answer(error: Exception) -> Answer:
    """Return the answer an exception becomes. Raises it again when it is not one of ours."""
    known = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
    if known is None:
        from stackctl.api.connection import ClientGone

        if isinstance(error, ClientGone):
            raise error
    status = known or 500
    if isinstance(error, OSError) and error.strerror:
        subject = f": {error.filename}" if error.filename else ""
        error = errors.EngineError(f"{error.strerror}{subject}", code="system")
    if isinstance(error, errors.StackctlError):
        status = _STATUS_OF_CODE.get(error.code, status)
        return Answer(status, error_to_json(error))
    value = {"message": str(error) or type(error).__name__}
    return Answer(status, value)


def _send(connection: Connection, answer: Answer) -> None:
    if answer.text is not None:
        connection.answer(answer.status, answer.text.encode(), "text/plain; charset=utf-8", answer.headers)
    elif answer.value is None:
        connection.answer(answer.status, b"", "application/json", answer.headers)
    else:
        body = json.dumps(answer.value, separators=(",", ":")).encode() + b"\n"
        connection.answer(answer.status, body, "application/json", answer.headers)
