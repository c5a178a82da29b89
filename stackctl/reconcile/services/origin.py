"""Where the fields of a service's specification are written in the stack file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from stackctl.diagnostics import SourceRange
from stackctl.model.service import ServiceSpec
from stackctl.model.stack import Path, Service, Stack

_PLACES: Final[Mapping[str, tuple[Path, ...]]] = MappingProxyType(
    {
        "image_ref": (("image",),),
        "mode": (("deploy", "mode"),),
        "replicas": (("deploy", "replicas"), ("scale",)),
        "env": (("environment",),),
        "container_labels": (("labels",),),
        "labels": (("deploy", "labels"),),
        "mounts": (("volumes",), ("tmpfs",)),
        "contents": (("configs",), ("secrets",)),
        "networks": (("networks",), ("network_mode",)),
        "endpoint_mode": (("deploy", "endpoint_mode"),),
        "limits": (("deploy", "resources", "limits"), ("mem_limit",), ("cpus",), ("pids_limit",)),
        "reservations": (("deploy", "resources", "reservations"),),
        "restart": (("deploy", "restart_policy"), ("restart",)),
        "placement": (("deploy", "placement"),),
        "update": (("deploy", "update_config"),),
        "rollback": (("deploy", "rollback_config"),),
        "stop_grace_s": (("stop_grace_period",),),
        "health": (("healthcheck",),),
        "log": (("logging",),),
    }
)


def service_origin(stack: Stack, service: Service) -> Mapping[str, SourceRange]:
    """Return where each field is written; "" is the service.

    Also single items, by what names them: ``env.KEY``, ``labels.KEY``, ``container_labels.KEY``,
    ``ports.PUBLISHED``, and one level below ``update``, ``rollback``, ``restart``, ``placement``.
    """
    base: Path = ("services", service.name)
    positions = stack.positions
    found: dict[str, SourceRange] = {}
    for name in ServiceSpec.__slots__:
        for path in _PLACES.get(name, ((name,),)):
            if (where := positions.get((*base, *path))) is not None:
                found[name] = where
                break
    for name, path in (*_items(service), *_ports(stack, service)):
        if (where := positions.get((*base, *path))) is not None:
            found[name] = where
    if (own := positions.get(base)) is not None:
        found[""] = own
    return MappingProxyType(found)


def _items(service: Service) -> Iterator[tuple[str, Path]]:
    for key, _ in service.environment:
        yield f"env.{key}", ("environment", key)
    for key, _ in service.labels:
        yield f"container_labels.{key}", ("labels", key)
    for key, _ in service.deploy.labels:
        yield f"labels.{key}", ("deploy", "labels", key)


def _ports(stack: Stack, service: Service) -> Iterator[tuple[str, Path]]:
    paths: list[Path] = []
    while ("services", service.name, "ports", len(paths)) in stack.positions:
        paths.append(("ports", len(paths)))
    if len(paths) == len(service.deploy.ports):
        for port, path in zip(service.deploy.ports, paths, strict=True):
            yield f"ports.{port.published}", path
