"""Routes of networks and volumes."""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from stackctl.api.routing import Answer, Route
from stackctl.model.observed import ObservedNetwork, ObservedVolume

Arguments = dict[str, str]
_NS: Final = 1_000_000_000


class Resources(Protocol):
    """What these routes need of networks and volumes."""

    def networks(self) -> tuple[ObservedNetwork, ...]: ...
    def volumes(self) -> tuple[ObservedVolume, ...]: ...


class ContentRoutes:
    """``/networks``, ``/volumes``."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/networks", self._networks),
            Route("GET", "/volumes", self._volumes),
        ]

    def _networks(self, *_: object) -> Answer:
        return Answer(200, [_network(network) for network in self._resources.networks()])

    def _volumes(self, *_: object) -> Answer:
        return Answer(200, {"Volumes": [_volume(volume) for volume in self._resources.volumes()], "Warnings": []})


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
