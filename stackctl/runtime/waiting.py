"""Waiting for a condition of containers, told by their changes instead of asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.runtime import health
from stackctl.runtime.loop import Timer
from stackctl.runtime.record import Container
from stackctl.runtime.world import World

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
Done = Callable[[Exception | None], None]


class Wait:
    """One wait for every named container; ``done`` is called exactly once, unless it is cancelled first."""

    def __init__(self, world: World, names: tuple[str, ...], condition: Condition, done: Done) -> None:
        self._world = world
        self._names = names
        self._condition = condition
        self._done = done
        self._timer: Timer | None = None
        self._is_over = False

    def begin(self, timeout_s: float) -> None:
        """Look now, then at every change; 0 waits without bound."""
        self._world.listeners.append(self._on_change)
        if timeout_s > 0:
            self._timer = self._world.loop.call_later(timeout_s, lambda: self._finish(self._late(timeout_s)))
        self._look()

    def cancel(self) -> None:
        """Stop waiting; ``done`` is not called."""
        if self._is_over:
            return
        self._is_over = True
        self._world.listeners.remove(self._on_change)
        if self._timer is not None:
            self._timer.cancel()

    def _on_change(self, container: Container) -> None:
        if container.name in self._names:
            self._look()

    def _look(self) -> None:
        for name in self._names:
            container = self._world.names.get(name)
            if container is None:
                self._finish(NotFound(f"no such container: {name}", code="no-such-container"))
                return
            try:
                if not _holds(container, self._condition):
                    return
            except EngineError as error:
                self._finish(error)
                return
        self._finish(None)

    def _late(self, timeout_s: float) -> ContainerError:
        waiting = [name for name in self._names if not self._holds_now(name)]
        what = {
            "service_started": "running",
            "service_healthy": "healthy",
            "service_completed_successfully": "done",
        }[self._condition]
        return ContainerError(f"{', '.join(waiting)} not {what} after {timeout_s:g} s", code="wait-timeout")

    def _holds_now(self, name: str) -> bool:
        container = self._world.names.get(name)
        try:
            return container is not None and _holds(container, self._condition)
        except EngineError:
            return False

    def _finish(self, error: Exception | None) -> None:
        if not self._is_over:
            self.cancel()
            self._done(error)


def _holds(container: Container, condition: Condition) -> bool:
    """Say whether the condition holds now. Raises ContainerError when it no longer can."""
    match condition:
        case "service_started":
            return container.phase == "running" or container.facts.started_ns > 0
        case "service_healthy":
            return _is_healthy(container)
        case "service_completed_successfully":
            return _has_completed(container)


def _is_healthy(container: Container) -> bool:
    if container.phase == "exited":
        raise ContainerError(
            f"container {container.name} exited ({container.facts.exit_code}) before it was healthy",
            code="dependency-exited",
        )
    if container.phase != "running":
        return False
    if not health.has_check(container.spec.health):
        return True
    if container.facts.health == "unhealthy":
        raise ContainerError(
            f"container {container.name} is unhealthy{_last_probe(container)}", code="health-never-reached"
        )
    return container.facts.health == "healthy"


def _last_probe(container: Container) -> str:
    if not container.facts.health_log:
        return ""
    last = container.facts.health_log[-1]
    output = str(last.get("output", "")).strip().splitlines()
    text = f": {output[-1][:200]}" if output else ""
    return f" (last probe exited {last.get('exit_code')}{text})"


def _has_completed(container: Container) -> bool:
    if container.phase != "exited":
        return False
    if container.facts.exit_code == 0:
        return True
    raise ContainerError(
        f"container {container.name} didn't complete successfully: exit {container.facts.exit_code}",
        code="dependency-failed",
    )
