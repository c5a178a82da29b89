"""Images on their way in and out: pull, import, load, save, and logins. Source: Docker Engine API 1.51, Image."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.routing import Answer, Route
from stackctl.engines.local_images import ImportedRoot
from stackctl.errors import StackctlError
from stackctl.images.exports import Pushed
from stackctl.model.image import parse_image_ref
from stackctl.model.registry import Credentials, PullProgress, TellProgress
from stackctl.wire.credentials import credentials_from_json
from stackctl.wire.error_json import error_to_json

Arguments = dict[str, str]


class Images(Protocol):
    """What these routes need of images."""

    def load(self, stream: BodyStream, platform: str) -> list[str]: ...
    def save(self, references: Sequence[str]) -> Iterator[bytes]: ...
    def import_root(self, stream: BodyStream, made: ImportedRoot) -> str: ...


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
    def push(
        self, reference: str, credentials: Credentials, tell: TellProgress, cancelled: Callable[[], bool]
    ) -> list[tuple[str, Pushed]]: ...
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


class ImageTransferRoutes:
    """``/images/create``, ``/images/load``, ``/images/get``, ``/images/{name}/push`` and ``/auth``."""

    def __init__(self, images: Images, registries: Registries) -> None:
        self._images = images
        self._registries = registries

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("POST", "/images/load", self._load),
            Route("POST", "/images/create", self._create),
            Route("GET", "/images/get", self._save_several),
            Route("GET", "/images/{name}/get", self._save),
            Route("POST", "/images/{name}/push", self._push),
            Route("POST", "/auth", self._log_in),
        ]

    def _load(self, request: Request, connection: Connection, _: Arguments) -> None:
        names = self._images.load(BodyStream(request.body()), platform_of(request.value("platform")))
        messages = Messages(connection)
        for name in names:
            what = "image ID" if name.startswith("sha256:") else "image"
            messages.send({"stream": f"Loaded {what}: {name}\n"})
        messages.end()

    def _save(self, _: Request, connection: Connection, arguments: Arguments) -> None:
        self._send_archive(connection, [arguments["name"]])

    def _save_several(self, request: Request, connection: Connection, _: Arguments) -> None:
        self._send_archive(connection, request.query.get("names", []))

    def _send_archive(self, connection: Connection, references: Sequence[str]) -> None:
        pieces = self._images.save(references)
        connection.begin_stream("application/x-tar")
        for piece in pieces:
            connection.stream(piece)
        connection.end_stream()

    def _create(self, request: Request, connection: Connection, _: Arguments) -> None:
        """Import a root tar, or pull an image: Docker has one route for both."""
        if request.value("fromImage"):
            self._pull(request, connection)
            return
        if request.value("fromSrc") != "-":
            raise BadRequest("an image is made of what is sent, or pulled: fromSrc is - or fromImage a name")
        made = ImportedRoot(
            reference=_joined(request.value("repo"), request.value("tag")),
            changes=tuple(request.query.get("changes", ())),
            platform=platform_of(request.value("platform")),
            comment=request.value("message"),
        )
        image_id = self._images.import_root(BodyStream(request.body()), made)
        messages = Messages(connection)
        messages.send({"status": image_id})
        messages.end()

    def _pull(self, request: Request, connection: Connection) -> None:
        name, tag = request.value("fromImage"), request.value("tag")
        reference = _joined(name, tag)
        if not tag and "@" not in name and ":" not in name.rpartition("/")[2]:
            raise BadRequest(f"all tags of {name} at once cannot be pulled yet: name one")
        credentials = credentials_of(request.headers.get("x-registry-auth", ""))
        for _ in request.body():
            pass
        messages = Messages(connection, first=_pulling(reference))
        try:
            final = self._registries.pull(
                reference, request.value("platform"), credentials, messages.tell, messages.is_unwanted
            )
        except StackctlError as error:
            if not messages.has_begun:
                raise
            messages.fail(error)
        else:
            for line in final:
                messages.send({"status": line})
        messages.end()

    def _push(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        """Whatever goes wrong is told in the stream, as Docker does."""
        credentials = credentials_of(request.headers.get("x-registry-auth", ""))
        for _ in request.body():
            pass
        messages = Messages(connection)
        reference = _joined(arguments["name"], request.value("tag"))
        try:
            pushed = self._registries.push(reference, credentials, messages.tell, messages.is_unwanted)
        except StackctlError as error:
            messages.fail(error)
        else:
            for tag, manifest in pushed:
                messages.send({"status": f"{tag}: digest: {manifest.digest} size: {manifest.size}"})
                aux = {"Tag": tag, "Digest": manifest.digest, "Size": manifest.size}
                messages.send({"progressDetail": {}, "aux": aux})
        messages.end()

    def _log_in(self, request: Request, _: Connection, __: Arguments) -> Answer:
        shape = request.json()
        if not isinstance(shape, dict):
            raise BadRequest("credentials are a JSON object")
        self._registries.log_in(registry_of(str(shape.get("serveraddress") or "")), credentials_from_json(shape))
        return Answer(200, {"Status": "Login Succeeded", "IdentityToken": ""})


class Messages:
    """Docker's stream of JSON messages, begun with the first one: an error before it can still be a status."""

    def __init__(self, connection: Connection, first: Mapping[str, Any] | None = None) -> None:
        self._connection = connection
        self._first = first
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

    def fail(self, error: StackctlError) -> None:
        """Tell what went wrong, in the middle of the stream."""
        # ``errorDetail`` holds a number under ``code`` for Docker's clients: ours read theirs beside it.
        detail = {"message": error.message}
        self.send({"errorDetail": detail, "error": error.message, "stackctlError": error_to_json(error)})

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
            if self._first is not None:
                self._connection.stream(json.dumps(self._first, separators=(",", ":")).encode() + b"\r\n")


def _joined(name: str, tag: str) -> str:
    if not name or not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"


def _pulling(reference: str) -> dict[str, str]:
    """Return what is said first: the repository without its registry, and the tag or digest."""
    try:
        name = parse_image_ref(reference)
    except ValueError:
        return {"status": f"Pulling {reference}"}  # it is refused before it is said
    return {"status": f"Pulling from {name.repository}", "id": name.digest or name.tag}


def credentials_of(header: str) -> Credentials:
    """Return what X-Registry-Auth holds: nobody in particular for none, and as in Docker for what makes no sense."""
    try:
        shape = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4))) if header else None
    except (Base64Error, ValueError):
        return Credentials()
    return credentials_from_json(shape) if isinstance(shape, dict) else Credentials()


def registry_of(address: str) -> str:
    """Return the registry of a ``serveraddress``: host and port of what may be a URL, "" for Docker Hub."""
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    return "" if host in ("index.docker.io", "docker.io", "registry-1.docker.io") else host


def platform_of(text: str) -> str:
    """Return a platform as ``os/architecture[/variant]``; newer clients send JSON. Raises BadRequest."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        shape = json.loads(text)
        entry = shape[0] if isinstance(shape, list) else shape
        parts = [str(entry.get(key) or "") for key in ("os", "architecture", "variant")]
    except (ValueError, AttributeError, IndexError) as error:
        raise BadRequest(f"platform {text!r} makes no sense") from error
    return "/".join(part for part in parts if part)
