"""Routes of images, networks and volumes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.routing import Answer, Route
from stackctl.model.observed import ObservedNetwork, ObservedVolume

Arguments = dict[str, str]
_NS: Final = 1_000_000_000


class Images(Protocol):
    """What these routes need of images."""

    def list_json(self) -> list[dict[str, Any]]: ...
    def inspect_json(self, reference: str) -> dict[str, Any]: ...
    def load(self, stream: BodyStream) -> list[str]: ...
    def import_root(self, stream: BodyStream, reference: str, changes: tuple[str, ...]) -> str: ...
    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]: ...


class Resources(Protocol):
    """What these routes need of networks and volumes."""

    def networks(self) -> tuple[ObservedNetwork, ...]: ...
    def volumes(self) -> tuple[ObservedVolume, ...]: ...


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


class ContentRoutes:
    """``/images``, ``/networks``, ``/volumes``."""

    def __init__(self, images: Images, resources: Resources) -> None:
        self._images = images
        self._resources = resources

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/images/json", lambda *_: Answer(200, self._images.list_json())),
            Route("POST", "/images/load", self._load),
            Route("POST", "/images/create", self._import),
            Route("GET", "/images/{name}/json", self._inspect),
            Route("DELETE", "/images/{name}", self._remove),
            Route("GET", "/networks", self._networks),
            Route("GET", "/volumes", self._volumes),
        ]

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.inspect_json(arguments["name"]))

    def _load(self, request: Request, connection: Connection, _: Arguments) -> None:
        names = self._images.load(BodyStream(request.body()))
        _stream_messages(connection, [f"Loaded image: {name}" for name in names])

    def _import(self, request: Request, connection: Connection, _: Arguments) -> None:
        if request.value("fromSrc") != "-":
            raise BadRequest("pulling images is not supported yet: load or import them")
        reference, tag = request.value("repo"), request.value("tag")
        name = f"{reference}:{tag}" if reference and tag else reference
        changes = tuple(request.query.get("changes", ()))
        image_id = self._images.import_root(BodyStream(request.body()), name, changes)
        _stream_messages(connection, [image_id])

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        return Answer(200, self._images.remove(arguments["name"], force=request.flag("force")))

    def _networks(self, *_: object) -> Answer:
        return Answer(200, [_network(network) for network in self._resources.networks()])

    def _volumes(self, *_: object) -> Answer:
        return Answer(200, {"Volumes": [_volume(volume) for volume in self._resources.volumes()], "Warnings": []})


def _stream_messages(connection: Connection, lines: list[str]) -> None:
    connection.begin_stream("application/json")
    for line in lines:
        key = "stream" if line.startswith("Loaded") else "status"
        connection.stream(json.dumps({key: line + "\n" if key == "stream" else line}).encode() + b"\n")
    connection.end_stream()


def _network(network: ObservedNetwork) -> dict[str, Any]:
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": _time(network.created_ns),
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": False,
        "Internal": network.spec is not None and network.spec.is_internal,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": network.subnet, "Gateway": network.gateway}]},
        "Labels": dict(network.labels),
        "Containers": {name: {"Name": name} for name in network.containers},
    }


def _volume(volume: ObservedVolume) -> dict[str, Any]:
    return {
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volume.mountpoint,
        "CreatedAt": _time(volume.created_ns),
        "Labels": dict(volume.labels),
        "Scope": "local",
        "Options": dict(volume.spec.options) if volume.spec else {},
    }


def _time(ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // _NS))
