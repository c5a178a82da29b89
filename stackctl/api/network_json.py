"""Networks in the shapes Docker's clients read. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from stackctl.model.observed import ObservedContainer, ObservedNetwork

_NS: Final = 1_000_000_000
_HEX: Final = 32


def list_json(network: ObservedNetwork) -> dict[str, Any]:
    """Return one entry of ``GET /networks``."""
    spec = network.spec
    pool = {"Subnet": network.subnet, "IPRange": spec.ip_range if spec else "", "Gateway": network.gateway}
    reserved = spec.reserved if spec else ()
    kept = {"AuxiliaryAddresses": {str(number): text for number, text in enumerate(reserved)}} if reserved else {}
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": _time(network.created_ns),
        "Scope": "local",
        "Driver": (spec.driver if spec else "") or "bridge",
        "EnableIPv4": True,
        "EnableIPv6": bool(spec and spec.enable_ipv6),
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [{**{key: value for key, value in pool.items() if value}, **kept}] if network.subnet else [],
        },
        "Internal": bool(spec and spec.is_internal),
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": dict(spec.options) if spec else {},
        "Labels": dict(network.labels),
    }


def inspect_json(network: ObservedNetwork, containers: Iterable[ObservedContainer]) -> dict[str, Any]:
    """Return ``GET /networks/{id}``; running containers only are on a network."""
    endpoints = {}
    for container in containers:
        for address in container.networks:
            if address.network == network.name and address.ipv4 and container.pid:
                endpoints[container.id] = {
                    "Name": container.name,
                    "EndpointID": f"{container.id[:_HEX]}{network.id[:_HEX]}",
                    "MacAddress": address.mac,
                    "IPv4Address": f"{address.ipv4}/{address.prefix_length}",
                    "IPv6Address": "",
                }
    return {**list_json(network), "Containers": endpoints}


def _time(ns: int) -> str:
    seconds, rest = divmod(ns, _NS)
    if not ns:
        return "0001-01-01T00:00:00Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
