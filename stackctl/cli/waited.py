"""The end of --wait: what was waited for must still run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stackctl import labels
from stackctl.cli.containers import Listed
from stackctl.cli.targets import containers_of
from stackctl.errors import ContainerError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient

Needs: TypeAlias = Mapping[str, Mapping[str, str]]

_LAST_LINES: Final = 5
_COMPLETED: Final = "service_completed_successfully"


def check_all_run(
    engine: EngineClient, project: str, services: Sequence[str], needs: Needs | None = None, *, no_deps: bool = False
) -> None:
    """Raise ContainerError for a container that has ended by now, with what it wrote last.

    ``services`` are meant with what they depend on, all when none is named. One that others wait for to complete
    may have ended with success. Without ``needs`` the labels tell who waits for whom, and how.
    """
    containers = containers_of(engine, project)
    if needs is None:
        needs = {container.service: _labelled_needs(container) for container in containers}
    awaited = {name for found in needs.values() for name, condition in found.items() if condition == _COMPLETED}
    meant = set(services) if no_deps and services else with_dependencies(services or needs, needs)
    for container in containers:
        if container.service in meant and _has_ended(container, is_awaited=container.service in awaited):
            raise _ended(engine, container)


def needs_of(tree: Mapping[str, Any]) -> Needs:
    """Return the conditions of each service of a stack in canonical form, by what it depends on."""
    services: Mapping[str, Any] = tree.get("services") or {}
    return {
        name: {need: str(entry.get("condition")) for need, entry in (shape.get("depends_on") or {}).items()}
        for name, shape in services.items()
    }


def _has_ended(container: Listed, *, is_awaited: bool) -> bool:
    if container.state == "exited":
        return bool(container.exit_code) or not is_awaited
    return container.state == "restarting" and bool(container.exit_code)


def _ended(engine: EngineClient, container: Listed) -> ContainerError:
    pieces = engine.logs(container.id, tail=str(_LAST_LINES))
    text = b"".join(data for _, data in pieces).decode("utf-8", "replace")
    lines = "".join(f"\n  {line}" for line in text.splitlines()[-_LAST_LINES:])
    hint = f"`stackctl logs {container.service}` shows all of it"
    if not container.exit_code:
        hint = f"one that is meant to end is one that others depend on with condition: {_COMPLETED}"
    return ContainerError(
        f"container {container.name} exited ({container.exit_code}) after it was started"
        + (f"\n{container.name} wrote last:{lines}" if lines else ""),
        code="service-exited",
        hint=hint,
    )


def _labelled_needs(container: Listed) -> dict[str, str]:
    marks: Mapping[str, str] = container.entry.get("Labels") or {}
    entries = (entry.split(":") for entry in marks.get(labels.DEPENDS_ON, "").split(",") if entry)
    return {entry[0]: entry[1] if len(entry) > 1 else "" for entry in entries}


def with_dependencies(services: Iterable[str], needs: Needs) -> set[str]:
    """Return the services and all that they need, directly or not."""
    found: set[str] = set()
    left = list(services)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needs.get(name, {})
    return found
