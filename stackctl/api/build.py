"""``POST /build`` as the classic builder speaks it. Source: Docker Engine API 1.51, ImageBuild."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from typing import Any, Final, Protocol

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.image_transfer import BodyStream, Messages, platform_of, registry_of
from stackctl.api.routing import Answer, Route
from stackctl.diagnostics import Diagnostic
from stackctl.engines.archive_builds import ArchiveBuild, Hearer
from stackctl.errors import ImageError, StackctlError
from stackctl.images.build.request import BuildEvent, OutputEvent
from stackctl.images.build.running import Network
from stackctl.images.dockerfile.faults import DockerfileError
from stackctl.model.image import DEFAULT_REGISTRY, parse_image_ref
from stackctl.model.registry import Credentials
from stackctl.wire.credentials import credentials_from_json

Arguments = dict[str, str]
_STEP: Final = re.compile(r"\[(?:(.*) )?(\d+)/(\d+)\] (.*)", re.DOTALL)
_EXIT_CODE: Final = re.compile(r"ended with exit code (\d+)")
_SHORT: Final = 12
_NETWORKS: Final[dict[str, Network]] = {"": "default", "default": "default", "none": "none", "host": "host"}


class Builds(Protocol):
    """What these routes need of builds."""

    def build(self, stream: BodyStream, asked: ArchiveBuild, hearer: Hearer) -> str: ...
    def prune(self) -> int: ...


class BuildRoutes:
    """``/build``."""

    def __init__(self, builds: Builds) -> None:
        self._builds = builds

    def routes(self) -> list[Route]:
        """Return the table."""
        return [Route("POST", "/build", self._build), Route("POST", "/build/prune", self._prune)]

    def _build(self, request: Request, connection: Connection, _: Arguments) -> None:
        asked = asked_of(request)
        told = _Told(Messages(connection), is_quiet=request.flag("q"))
        hearer = Hearer(told.build, told.messages.tell, told.messages.is_unwanted)
        try:
            image_id = self._builds.build(BodyStream(request.body()), asked, hearer)
        except DockerfileError as error:
            if not told.messages.has_begun:
                raise BadRequest(_text(error)) from error
            told.fail(error)
        except StackctlError as error:
            told.fail(error)
        else:
            told.end(image_id, asked.names)
        told.messages.end()

    def _prune(self, *_: object) -> Answer:
        return Answer(200, {"CachesDeleted": None, "SpaceReclaimed": self._builds.prune()})


class _Told:
    """What a client hears of its build."""

    def __init__(self, messages: Messages, *, is_quiet: bool) -> None:
        self.messages = messages
        self._is_quiet = is_quiet

    def build(self, event: BuildEvent) -> None:
        if isinstance(event, OutputEvent):
            self._say(event.data.decode("utf-8", "replace"))
        elif event.state == "started":
            self._say(f"{_step(event.text)}\n")
        elif event.state == "cached":
            self._say(" ---> Using cache\n")

    def end(self, image_id: str, names: tuple[str, ...]) -> None:
        if self._is_quiet:
            self.messages.send({"stream": f"{image_id}\n"})
            return
        self.messages.send({"aux": {"ID": image_id}})
        self._say(f"Successfully built {image_id.removeprefix('sha256:')[:_SHORT]}\n")
        for name in names:
            self._say(f"Successfully tagged {parse_image_ref(name).familiar}\n")

    def fail(self, error: StackctlError) -> None:
        message = _text(error)
        code = _EXIT_CODE.search(message)
        detail: dict[str, Any] = {"message": message, **({"code": int(code[1])} if code else {})}
        self.messages.send({"errorDetail": detail, "error": message})

    def _say(self, text: str) -> None:
        if not self._is_quiet:
            self.messages.send({"stream": text})


def asked_of(request: Request) -> ArchiveBuild:
    """Return what a request asks for. Raises BadRequest, also for what there is not here."""
    if request.value("version") == "2":
        raise BadRequest("this engine does not speak BuildKit's protocol: set DOCKER_BUILDKIT=0")
    for name in ("remote", "squash", "outputs"):
        if request.flag(name):
            raise BadRequest(f"not supported by this engine: {name} of a build")
    network = request.value("networkmode")
    if network not in _NETWORKS:
        raise BadRequest(f"not supported by this engine: a build on network {network}")
    return ArchiveBuild(
        dockerfile=request.value("dockerfile") or "Dockerfile",
        names=_names(request),
        target=request.value("target"),
        args=_pairs(request, "buildargs"),
        labels=_pairs(request, "labels"),
        platform=platform_of(request.value("platform")),
        no_cache=request.flag("nocache"),
        pull=request.flag("pull"),
        network=_NETWORKS[network],
        extra_hosts=tuple(_hosts(request)),
        shm_size_bytes=int(request.value("shmsize") or 0) if request.value("shmsize").isdecimal() else 0,
        credentials=_credentials(request.headers.get("x-registry-config", "")),
    )


def _names(request: Request) -> tuple[str, ...]:
    names = tuple(name for name in request.query.get("t", ()) if name)
    for name in names:
        try:
            parse_image_ref(name)
        except ValueError as error:
            raise BadRequest(f"invalid reference format: {name}: {error}") from error
    return names


def _pairs(request: Request, name: str) -> dict[str, str]:
    text = request.value(name)
    try:
        shape = json.loads(text) if text else {}
    except ValueError as error:
        raise BadRequest(f"error reading {name}: {error}") from error
    if shape is None:
        return {}
    if not isinstance(shape, dict):
        raise BadRequest(f"error reading {name}: no JSON object")
    # An argument without a value is the client's environment's, which has none.
    return {str(key): str(value) for key, value in shape.items() if value is not None}


def _hosts(request: Request) -> list[tuple[str, str]]:
    entries = [entry for text in request.query.get("extrahosts", ()) for entry in text.split(",") if entry]
    pairs = [re.split("[:=]", entry, maxsplit=1) for entry in entries]
    if any(len(pair) != 2 for pair in pairs):
        raise BadRequest("extrahosts are NAME:ADDRESS")
    return [(name, address) for name, address in pairs]


def _credentials(header: str) -> dict[str, Credentials]:
    try:
        shape = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4))) if header else {}
    except (Base64Error, ValueError):
        return {}
    entries = shape.items() if isinstance(shape, dict) else ()
    return {
        registry_of(str(address)) or DEFAULT_REGISTRY: credentials_from_json(entry)
        for address, entry in entries
        if isinstance(entry, dict)
    }


def _step(text: str) -> str:
    """Return a step as the classic builder announces it, with the stage it is of."""
    found = _STEP.fullmatch(text)
    if found is None:
        return text
    stage = f" ({found[1]})" if found[1] else ""
    return f"Step {found[2]}/{found[3]}{stage} : {found[4]}"


def _fault(found: Diagnostic) -> str:
    place = [str(found.sources[0])] if found.sources else []
    hint = f" ({found.hint})" if found.hint else ""
    return ": ".join([*place, found.summary, *([found.detail] if found.detail else [])]) + hint


def _text(error: StackctlError) -> str:
    if isinstance(error, DockerfileError) and error.diagnostics:
        return "dockerfile parse error: " + "; ".join(_fault(found) for found in error.diagnostics)
    hint = f" ({error.hint})" if isinstance(error, ImageError) and error.hint else ""
    return error.message + hint
