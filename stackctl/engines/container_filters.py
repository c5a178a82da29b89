"""Docker's filters of container lists. Source: Docker Engine API 1.51, GET /containers/json."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stackctl.engines.observing import network_names
from stackctl.errors import UsageError
from stackctl.model.container import BindMount
from stackctl.model.image import parse_image_ref
from stackctl.model.observed import ObservedContainer

Filters = Mapping[str, Sequence[str]]
STATES: Final = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_HEALTH: Final = ("none", "starting", "healthy", "unhealthy")
IMPLY_ALL: Final = ("status", "exited", "before", "since")


def passes(container: ObservedContainer, filters: Filters, *, before: int, since: int) -> bool:
    """Say whether a container passes every filter: of labels all, of another's values any.

    ``before`` and ``since`` are the times of creation of the containers that those filters name, 0 for none.
    """
    if before and container.created_ns >= before:
        return False
    if since and container.created_ns <= since:
        return False
    marks = dict(container.labels)
    if not all(_has_label(marks, wanted) for wanted in filters.get("label", ())):
        return False
    if any(_has_label(marks, wanted) for wanted in filters.get("label!", ())):
        return False
    return all(
        any(test(container, value) for value in filters[name]) for name, test in _TESTS.items() if filters.get(name)
    )


def check(filters: Filters) -> None:
    """Raise UsageError for a filter, or a value of one, that there is not."""
    for name in filters:
        if name not in _TESTS and name not in ("label", "label!", "before", "since", "until", "is-task", "isolation"):
            raise UsageError(f"invalid filter '{name}'", code="invalid-filter")
    for name, allowed in (("status", STATES), ("health", _HEALTH)):
        for value in filters.get(name, ()):
            if value not in allowed:
                raise UsageError(f"invalid filter '{name}={value}'", code="invalid-filter")


def _has_label(marks: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in marks and (not equals or marks[key] == value)


def _is_named(container: ObservedContainer, value: str) -> bool:
    try:
        return any(re.search(value, name) for name in (container.name, f"/{container.name}"))
    except re.error:
        return False


def _is_of_image(container: ObservedContainer, value: str) -> bool:
    digest = value.removeprefix("sha256:")
    if digest and container.image_id.removeprefix("sha256:").startswith(digest):
        return True
    try:
        return parse_image_ref(value) == parse_image_ref(container.image_ref)
    except ValueError:
        return False


def _is_on_network(container: ObservedContainer, value: str) -> bool:
    names = network_names(container.spec) if container.spec else ()
    return value in names or any(identity.startswith(value) for _, identity in container.network_ids if value)


def _mounts(container: ObservedContainer, value: str) -> bool:
    mounts = container.spec.mounts if container.spec else ()
    sources = {mount.source for mount in mounts if isinstance(mount, BindMount)}
    return value in container.volumes or value in sources or any(mount.target == value for mount in mounts)


def _publishes(container: ObservedContainer, value: str) -> bool:
    port, _, protocol = value.partition("/")
    first, _, last = port.partition("-")
    return any(
        first.isdecimal()
        and int(first) <= published.host_port <= int(last or first)
        and published.protocol == (protocol or "tcp")
        for published in container.ports
    )


def _exposes(container: ObservedContainer, value: str) -> bool:
    wanted = value if "/" in value else f"{value}/tcp"
    published = {f"{port.container_port}/{port.protocol}" for port in container.ports}
    return wanted in published or (container.spec is not None and wanted in container.spec.exposed_ports)


_TESTS: Final[Mapping[str, Callable[[ObservedContainer, str], bool]]] = {
    "status": lambda container, value: container.state == value,
    "name": _is_named,
    "id": lambda container, value: container.id.startswith(value),
    "ancestor": _is_of_image,
    "exited": lambda container, value: container.state == "exited" and str(container.exit_code) == value,
    "health": lambda container, value: container.health == value,
    "network": _is_on_network,
    "volume": _mounts,
    "publish": _publishes,
    "expose": _exposes,
}
