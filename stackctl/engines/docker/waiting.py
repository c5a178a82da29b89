"""Waiting for a condition of containers on an engine that is asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.model.observed import ObservedContainer
from stackctl.model.stack import Condition
from stackctl.reconcile.action import AwaitCondition
from stackctl.reconcile.engine import CancelCheck

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 0.5
_SETTLED_NS: Final = 500_000_000
# Without a check, to run is to be healthy; but what finds itself misconfigured and ends never really ran.
_GOALS: Final = {
    "service_started": "running",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
Look = Callable[[str], ObservedContainer | None]


def await_condition(action: AwaitCondition, look: Look, cancelled: CancelCheck) -> None:
    """Return when every named container fulfils the condition; see ``reconcile.action.AwaitCondition``."""
    deadline = time.monotonic() + action.timeout_s if action.timeout_s else None
    since: dict[str, tuple[int, float]] = {}
    pause_s = _FIRST_S
    held_since = 0.0
    while True:
        found = [_found(look, name) for name in action.names]
        waiting = [container.name for container in found if not _is_met(container, action, since)]
        held_since = (held_since or time.monotonic()) if not waiting else 0.0
        if not waiting and time.monotonic() >= held_since + (action.monitor_s or 0.0):
            return
        if cancelled():
            raise EngineError("cancelled", code="cancelled")
        if deadline is not None and time.monotonic() >= deadline:
            text = f"{', '.join(waiting)} not {_GOALS[action.condition]} after {action.timeout_s:g} s"
            raise ContainerError(text, code="wait-timeout")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_S)


def _is_met(container: ObservedContainer, action: AwaitCondition, since: dict[str, tuple[int, float]]) -> bool:
    if action.monitor_s is not None and container.restart_count:
        raise ContainerError(f"container {container.name} ended soon after its start", code="update-failed")
    if action.monitor_s is not None and container.state == "exited" and container.exit_code == 0:
        return True  # it has done its work
    return _holds(container, action.condition, since)


def _found(look: Look, name: str) -> ObservedContainer:
    container = look(name)
    if container is None:
        raise NotFound(f"no such container: {name}", code="no-such-container")
    return container


def _holds(container: ObservedContainer, condition: Condition, since: dict[str, tuple[int, float]]) -> bool:
    """Say whether the condition holds now. Raises ContainerError when it no longer can."""
    match condition:
        case "service_started":
            return container.state == "running" or container.started_ns > 0
        case "service_healthy":
            return _is_healthy(container, since)
        case "service_completed_successfully":
            code = container.exit_code
            if container.state == "exited" and code != 0:
                text = f"container {container.name} didn't complete successfully: exit {code}"
                raise ContainerError(text, code="dependency-failed")
            return container.state == "exited"


def _is_healthy(container: ObservedContainer, since: dict[str, tuple[int, float]]) -> bool:
    """Say whether it is. Without a check it must have run for a moment, by our clock: the engine's may differ."""
    if container.state == "exited":
        raise ContainerError(
            f"container {container.name} exited ({container.exit_code}) before it was healthy",
            code="dependency-exited",
            hint="one that is meant to end is one to wait for with condition: service_completed_successfully",
        )
    if container.health == "unhealthy":
        raise ContainerError(f"container {container.name} is unhealthy", code="health-never-reached")
    if container.state != "running":
        return False
    if container.health != "none":
        return container.health == "healthy"
    now_s = time.monotonic()
    begun, seen_s = since.setdefault(container.name, (container.started_ns, now_s))
    if begun != container.started_ns:
        since[container.name] = (container.started_ns, now_s)
        return False
    return (now_s - seen_s) * 1e9 >= _SETTLED_NS
