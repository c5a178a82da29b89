"""Routes of images. Source: Docker Engine API 1.51, Image."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.routing import Answer, Route
from stackctl.errors import StackctlError
from stackctl.model.registry import Credentials, PullProgress, TellProgress
from stackctl.wire.credentials import credentials_from_json
from stackctl.wire.error_json import error_to_json

Arguments = dict[str, str]


class Images(Protocol):
    """What these routes need of images."""

    def list_json(self) -> list[dict[str, Any]]: ...
    def inspect_json(self, reference: str) -> dict[str, Any]: ...
    def history_json(self, reference: str) -> list[dict[str, Any]]: ...
    def load(self, stream: BodyStream) -> list[str]: ...
    def import_root(self, stream: BodyStream, reference: str, changes: tuple[str, ...]) -> str: ...
    def tag(self, reference: str, name: str) -> None: ...
    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]: ...
    def prune(self, *, only_untagged: bool) -> dict[str, Any]: ...


class Registries(Protocol):
    """What these routes need of registries."""

    def pull(
        self,
        reference: str,
        platform: str,
        credentials: Credentials,
        tell: TellProgress,
        cancelled: Callable[[], bool],
    ) -> list[str]: ...
    def log_in(self, registry: str, credentials: Credentials) -> None: ...


class BodyStream:
    """A request's body as something to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, b"" at the end."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class ImageRoutes:
    """``/images`` and ``/auth``."""

    def __init__(self, images: Images, registries: Registries) -> None:
        self._images = images
        self._registries = registries

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/images/json", lambda *_: Answer(200, self._images.list_json())),
            Route("POST", "/images/load", self._load),
            Route("POST", "/images/create", self._create),
            Route("POST", "/images/prune", self._prune),
            Route("POST", "/images/{name}/tag", self._tag),
            Route("GET", "/images/{name}/json", self._inspect),
            Route("GET", "/images/{name}/history", self._history),
            Route("DELETE", "/images/{name}", self._remove),
            Route("POST", "/auth", self._log_in),
        ]

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.inspect_json(arguments["name"]))

    def _history(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.history_json(arguments["name"]))

    def _load(self, request: Request, connection: Connection, _: Arguments) -> None:
        names = self._images.load(BodyStream(request.body()))
        messages = _Messages(connection)
        for name in names:
            messages.send({"stream": f"Loaded image: {name}\n"})
        messages.end()

    def _create(self, request: Request, connection: Connection, _: Arguments) -> None:
        """Import a root tar, or pull an image: Docker has one route for both."""
        if request.value("fromImage"):
            self._pull(request, connection)
            return
        if request.value("fromSrc") != "-":
            raise BadRequest("an image is made of what is sent, or pulled: fromSrc is - or fromImage a name")
        name = _joined(request.value("repo"), request.value("tag"))
        changes = tuple(request.query.get("changes", ()))
        image_id = self._images.import_root(BodyStream(request.body()), name, changes)
        messages = _Messages(connection)
        messages.send({"status": image_id})
        messages.end()

    def _pull(self, request: Request, connection: Connection) -> None:
        reference = _joined(request.value("fromImage"), request.value("tag"))
        credentials = _credentials(request.headers.get("x-registry-auth", ""))
        for _ in request.body():
            pass
        messages = _Messages(connection)
        try:
            final = self._registries.pull(
                reference, request.value("platform"), credentials, messages.tell, messages.is_unwanted
            )
        except StackctlError as error:
            if not messages.has_begun:
                raise
            shape = error_to_json(error)
            messages.send({"errorDetail": shape, "error": error.message})
        else:
            for line in final:
                messages.send({"status": line})
        messages.end()

    def _prune(self, request: Request, _: Connection, __: Arguments) -> Answer:
        try:
            filters = json.loads(request.value("filters") or "{}")
            dangling = filters.get("dangling", ["true"])
        except (ValueError, AttributeError) as error:
            raise BadRequest(f"filters are no JSON object: {error}") from error
        wanted = list(dangling) if isinstance(dangling, list | dict) else []
        return Answer(200, self._images.prune(only_untagged=not {"false", "0"} & set(map(str, wanted))))

    def _tag(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._images.tag(arguments["name"], _joined(request.value("repo"), request.value("tag")))
        return Answer(201)

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.remove(arguments["name"], force=request.flag("force")))

    def _log_in(self, request: Request, _: Connection, __: Arguments) -> Answer:
        shape = request.json()
        if not isinstance(shape, dict):
            raise BadRequest("credentials are a JSON object")
        self._registries.log_in(str(shape.get("serveraddress") or ""), credentials_from_json(shape))
        return Answer(200, {"Status": "Login Succeeded", "IdentityToken": ""})


class _Messages:
    """Docker's stream of JSON messages, begun with the first one: an error before it can still be a status."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._is_gone = False
        self.has_begun = False

    def tell(self, progress: PullProgress) -> None:
        """Send what happens; any thread may call it."""
        message: dict[str, Any] = {"status": progress.status}
        if progress.id:
            message["id"] = progress.id
            counts = {"current": progress.current, "total": progress.total} if progress.total else {}
            message["progressDetail"] = counts
        self.send(message)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; a client that has gone is no failure of what it asked for."""
        with self._lock:
            try:
                self._begin()
                self._connection.stream(json.dumps(message, separators=(",", ":")).encode() + b"\r\n")
            except ClientGone:
                self._is_gone = True

    def end(self) -> None:
        """End the stream."""
        with self._lock:
            self._begin()
            self._connection.end_stream()

    def is_unwanted(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_gone or self._connection.is_gone()

    def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self._connection.begin_stream("application/json")


def _joined(name: str, tag: str) -> str:
    if not name or not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"


def _credentials(header: str) -> Credentials:
    if not header:
        return Credentials()
    try:
        shape = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (Base64Error, ValueError) as error:
        raise BadRequest("X-Registry-Auth is not the base64 of JSON") from error
    return credentials_from_json(shape) if isinstance(shape, dict) else Credentials()
