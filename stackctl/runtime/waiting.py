"""Waiting for a condition of containers, told by their changes instead of asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.runtime import health
from stackctl.runtime.loop import Timer
from stackctl.runtime.record import Container
from stackctl.runtime.world import World

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
_MEANT_TO_END: Final = "one that is meant to end is one to wait for with condition: service_completed_successfully"
# Without a check, to run is to be healthy; but what finds itself misconfigured and ends never really ran.
_SETTLED_S: Final = 0.5
_LOOK_S: Final = 0.05
# What restarts this often without ever running for 10 s: with the pauses between, for over a minute and a half.
_LOOP: Final = 10
_WORTH_TELLING: Final = 2
Done = Callable[[Exception | None], None]
Note = Callable[[str], None]


class Wait:
    """One wait for every named container; ``done`` is called exactly once, unless it is cancelled first.

    ``note`` is told meanwhile why it takes so long.
    """

    def __init__(
        self,
        world: World,
        names: tuple[str, ...],
        condition: Condition,
        done: Done,
        note: Note,
        *,
        monitor_s: float | None = None,
    ) -> None:
        """With ``monitor_s`` the condition must go on to hold for so long, and a restart is a failure."""
        self._world = world
        self._names = names
        self._condition = condition
        self._done = done
        self._monitor_s = monitor_s
        self._held_since = 0.0
        self._note = note
        self._told: dict[str, int] = {}
        self._timer: Timer | None = None
        self._settling: Timer | None = None
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
        for timer in (self._timer, self._settling):
            if timer is not None:
                timer.cancel()

    def _on_change(self, container: Container) -> None:
        if container.name in self._names:
            self._tell_of_loop(container)
            self._look()

    def _tell_of_loop(self, container: Container) -> None:
        times = container.facts.back_off
        if container.phase == "restarting" and times >= _WORTH_TELLING and self._told.get(container.name) != times:
            self._told[container.name] = times
            self._note(f"{container.name} ended with {container.facts.exit_code}, restart {times}")

    def _look(self) -> None:
        for name in self._names:
            container = self._world.names.get(name)
            if container is None:
                self._finish(NotFound(f"no such container: {name}", code="no-such-container"))
                return
            try:
                if not self._holds(container):
                    self._held_since = 0.0
                    return
            except EngineError as error:
                if container.facts.is_standby:
                    error.hint = f"{container.facts.stands_for}, which it was to replace, still has all the traffic"
                self._finish(error)
                return
        self._held_since = self._held_since or time.monotonic()
        left_s = self._held_since + (self._monitor_s or 0.0) - time.monotonic()
        if left_s > 0:
            self._look_again_in(left_s)
        else:
            self._finish(None)

    def _holds(self, container: Container) -> bool:
        if self._monitor_s is not None and container.facts.restart_count:
            raise ContainerError(f"container {container.name} ended soon after its start", code="update-failed")
        if self._monitor_s is not None and container.phase == "exited" and container.facts.exit_code == 0:
            # It has done its work; but one that is to take over another's traffic cannot.
            return not container.facts.is_standby or holds(container, self._condition)
        if not holds(container, self._condition):
            return False
        if self._condition == "service_healthy" and (left_s := _unsettled_s(container)) > 0:
            self._look_again_in(left_s)
            return False
        if container.facts.is_standby and self._world.networks.is_warming(container):
            self._look_again_in(_LOOK_S)
            return False
        return True

    def _look_again_in(self, delay_s: float) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._world.loop.call_later(delay_s, self._look)

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
            return container is not None and holds(container, self._condition)
        except EngineError:
            return False

    def _finish(self, error: Exception | None) -> None:
        if not self._is_over:
            self.cancel()
            self._done(error)


def holds(container: Container, condition: Condition) -> bool:
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
            hint="" if container.facts.exit_code else _MEANT_TO_END,
        )
    if container.phase == "restarting" and container.facts.back_off >= _LOOP:
        raise ContainerError(
            f"container {container.name} is restarted again and again: it exited ({container.facts.exit_code}) "
            f"{_LOOP} times in a row",
            code="restart-loop",
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


def _unsettled_s(container: Container) -> float:
    """Return for how long a container without a check must still run to count as running."""
    if health.has_check(container.spec.health):
        return 0.0
    ran_s = (time.time_ns() - container.facts.started_ns) / 1e9
    return _SETTLED_S - ran_s if 0 <= ran_s < _SETTLED_S else 0.0  # less than 0: the clock was set


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
