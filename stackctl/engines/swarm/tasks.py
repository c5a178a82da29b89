"""Tasks of a Swarm in the shape in which an engine lists containers, one for each place of a service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stackctl import labels
from stackctl.engines.docker.observe import time_ns
from stackctl.engines.swarm.labels import read, short_name

Shape = Mapping[str, Any]
_ENDED: Final = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))
_STATES: Final = {"running": "running", **dict.fromkeys(_ENDED, "exited")}


def task_entries(services: Iterable[Shape], tasks: Iterable[Shape], nodes: Iterable[Shape]) -> list[dict[str, Any]]:
    """Return one entry for each replica, or each machine of a global service: the task that is there, or was last."""
    machines = {node["ID"]: (node.get("Description") or {}).get("Hostname") or node["ID"] for node in nodes}
    by_service: dict[str, list[Shape]] = {}
    for task in tasks:
        by_service.setdefault(task.get("ServiceID") or "", []).append(task)
    found = []
    for service in services:
        places: dict[str, list[Shape]] = {}
        for task in by_service.get(service["ID"], ()):
            place = str(task["Slot"]) if task.get("Slot") else str(task.get("NodeID") or "")
            places.setdefault(place, []).append(task)
        for place, own in places.items():
            latest = max(own, key=_rank)
            if task_is_shown(latest):
                found.append(_entry(service, place, latest, machines))
    return sorted(found, key=lambda entry: entry["Names"])


def task_is_shown(task: Shape) -> bool:
    """Whether the task says something of what the service is: not one of a replica that is no longer wanted."""
    return task.get("DesiredState") not in ("shutdown", "remove") or _state(task) in ("failed", "rejected")


def matching(entries: Iterable[dict[str, Any]], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries with every label of ``wanted``: ``KEY`` or ``KEY=VALUE``."""
    pairs = [text.partition("=") for text in wanted]

    def has(marks: Mapping[str, str], key: str, separator: str, value: str) -> bool:
        return key in marks and (not separator or marks[key] == value)

    return [entry for entry in entries if all(has(entry["Labels"], *pair) for pair in pairs)]


def _rank(task: Shape) -> tuple[bool, bool, str]:
    return (
        task.get("DesiredState") in ("running", "complete"),
        _state(task) not in _ENDED,
        task.get("CreatedAt") or "",
    )


def _state(task: Shape) -> str:
    return str((task.get("Status") or {}).get("State") or "")


def _entry(service: Shape, place: str, task: Shape, machines: Mapping[str, str]) -> dict[str, Any]:
    own, status = service["Spec"], task.get("Status") or {}
    container = (task.get("Spec") or {}).get("ContainerSpec") or {}
    machine = machines.get(task.get("NodeID") or "", "")
    marks = dict(read(own.get("Labels"), **{labels.SERVICE: short_name(own["Name"], own.get("Labels"))}))
    number = place if task.get("Slot") else str(sorted(machines).index(place) + 1 if place in machines else 1)
    state = _state(task)
    return {
        "Id": task["ID"],
        "Names": [f"/{own['Name']}.{place if task.get('Slot') else machine}"],
        "Image": (container.get("Image") or "").partition("@")[0],
        "Command": " ".join((*(container.get("Command") or ()), *(container.get("Args") or ()))),
        "Created": time_ns(task.get("CreatedAt") or "") // 1_000_000_000,
        "State": _STATES.get(state, "created"),
        "Status": _status(state, machine, status),
        "ExitCode": int((status.get("ContainerStatus") or {}).get("ExitCode") or 0),
        "Labels": {**marks, labels.CONTAINER_NUMBER: number},
        "Ports": _ports(service),
    }


def _status(state: str, machine: str, status: Shape) -> str:
    text = state.capitalize() + (f" on {machine}" if machine else "")
    why = status.get("Err") or ""
    return f"{text}: {why}" if why else text


def _ports(service: Shape) -> list[dict[str, Any]]:
    entries = (service.get("Endpoint") or {}).get("Ports") or ()
    return [
        {
            "IP": "0.0.0.0",
            "PrivatePort": port.get("TargetPort") or 0,
            "PublicPort": port.get("PublishedPort") or 0,
            "Type": port.get("Protocol") or "tcp",
        }
        for port in entries
        if port.get("PublishedPort")
    ]
