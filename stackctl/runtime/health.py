"""Health: probes run in the container at intervals; their results decide who gets traffic."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from stackctl.errors import EngineError
from stackctl.model.health import HealthCheck
from stackctl.runtime.kernel.process import kill_tree

if TYPE_CHECKING:
    from stackctl.runtime.record import Container
    from stackctl.runtime.verbs.enter import Entered
    from stackctl.runtime.world import World

_OUTPUT_BYTES: Final = 4096
_KEPT_RESULTS: Final = 5
_TIMED_OUT: Final = -1
_FIRST_PAUSE_S: Final = 0.1


def has_check(check: HealthCheck | None) -> bool:
    """Say whether there is anything to probe."""
    return check is not None and bool(check.test) and check.test[0] != "NONE"


def begin(world: World, container: Container) -> None:
    """Start probing a container that has just started; the first probe runs at once."""
    container.facts.health_failures = 0
    if not has_check(container.spec.health):
        container.facts.health = "none"
        return
    container.facts.health = "starting"
    _Prober(world, container).probe()


def resume(world: World, container: Container) -> None:
    """Go on probing a container that ran on without us; its health is as it was last seen."""
    if has_check(container.spec.health):
        _Prober(world, container).probe()


def change(world: World, container: Container) -> None:
    """Go on with another check, or none: its specification says which. Until the next probe it is as healthy as before.

    A probe under way ends first; the one after it is of the new kind.
    """
    facts = container.facts
    if not container.is_running:
        return
    if not has_check(container.spec.health):
        facts.health = "none"
    elif facts.health == "none":
        facts.health = "starting"
    facts.health_failures = 0
    world.save(container)
    world.networks.publish(container)
    if container.prober is not None:
        return
    if container.probe_timer is not None:
        container.probe_timer.cancel()
        container.probe_timer = None
    resume(world, container)


def end(container: Container) -> None:
    """Stop probing."""
    if container.probe_timer is not None:
        container.probe_timer.cancel()
        container.probe_timer = None
    if container.facts.health == "healthy":
        container.facts.health = "unhealthy"


class _Prober:
    """The probes of one run of one container."""

    def __init__(self, world: World, container: Container) -> None:
        assert container.spec.health is not None
        self._world = world
        self._container = container
        self._check: HealthCheck = container.spec.health
        self._run = container.facts.identity
        self._output_fd = -1
        self._output = b""
        self._started_ns = 0
        self._timed_out = False
        self._eager_pause_s = _FIRST_PAUSE_S

    def probe(self) -> None:
        """Run one probe now, and plan the next when it has ended."""
        from stackctl.runtime.verbs.enter import EnterRequest, enter  # health and enter know each other

        if not self._is_current():
            return
        if self._container.facts.is_paused:  # a probe would stand still as well
            self._container.probe_timer = self._world.loop.call_later(self._check.interval_s, self.probe)
            return
        self._container.prober = self
        self._started_ns, self._timed_out = time.time_ns(), False
        self._output_fd, self._output = -1, b""
        with ExitStack() as used:
            try:
                null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
                used.callback(os.close, null)
                self._output_fd, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                used.callback(os.close, write_end)
                os.set_blocking(write_end, True)
                self._world.loop.register(self._output_fd, self._drain)
                request = EnterRequest(argv=_argv(self._check), descriptors=(null, write_end, write_end))
                enter(self._world, self._container, request, self._on_start, self._on_exit)
            except (OSError, EngineError) as error:  # it has just ended, or there is no room for a process more
                self._finish(_TIMED_OUT, f"the probe cannot be started: {error}")

    def _is_current(self) -> bool:
        return self._container.is_running and self._container.facts.identity == self._run

    def _on_start(self, entered: Entered | None, error: Exception | None) -> None:
        if entered is None:
            self._finish(_TIMED_OUT, str(error))
            return
        self._container.probe_timer = self._world.loop.call_later(self._check.timeout_s, lambda: self._kill(entered))

    def _kill(self, entered: Entered) -> None:
        self._timed_out = True
        if entered.exit_code is None:
            kill_tree(entered.pid, entered.pidfd)

    def _on_exit(self, code: int) -> None:
        if self._timed_out:
            self._finish(_TIMED_OUT, f"Health check exceeded timeout ({self._check.timeout_s:g}s)")
            return
        self._drain()
        self._finish(code, self._output.decode("utf-8", "replace"))

    def _drain(self) -> None:
        # What is beyond the first bytes is read and dropped: a probe that writes much must not block.
        try:
            data = os.read(self._output_fd, 1 << 16)
        except BlockingIOError:
            return
        self._output += data[: _OUTPUT_BYTES - len(self._output)]
        if not data:
            self._world.loop.unregister(self._output_fd)

    def _finish(self, code: int, output: str) -> None:
        if self._output_fd >= 0:
            self._world.loop.unregister(self._output_fd)
            os.close(self._output_fd)
        if self._container.probe_timer is not None:
            self._container.probe_timer.cancel()
            self._container.probe_timer = None
        if self._container.prober is self:
            self._container.prober = None
        if not self._is_current():
            return
        if self._check != self._container.spec.health:
            resume(self._world, self._container)
            return
        facts = self._container.facts
        result: dict[str, object] = {
            "start_ns": self._started_ns,
            "end_ns": time.time_ns(),
            "exit_code": code,
            "output": output,
        }
        facts.health_log = [*facts.health_log[1 - _KEPT_RESULTS :], result]
        before = facts.health
        self._judge(code == 0)
        self._container.probe_timer = self._world.loop.call_later(self._pause_s(), self.probe)
        if facts.health != before:
            self._world.save(self._container)
            self._world.networks.publish(self._container)
            self._world.events.tell_container(self._container, f"health_status: {facts.health}")
            self._world.notify(self._container)

    def _judge(self, passed: bool) -> None:
        facts = self._container.facts
        if passed:
            facts.health, facts.health_failures = "healthy", 0
            return
        if facts.health == "starting" and (self._in_start_period() or self._is_eager()):
            return
        facts.health_failures += 1
        if facts.health_failures >= max(1, self._check.retries):
            facts.health = "unhealthy"

    def _in_start_period(self) -> bool:
        return time.time_ns() - self._container.facts.started_ns < self._check.start_period_s * 1e9

    def _is_eager(self) -> bool:
        """Whether this is one of the probes before the first regular one: they can only bring good news."""
        elapsed_s = (time.time_ns() - self._container.facts.started_ns) / 1e9
        return elapsed_s < self._check.interval_s

    def _pause_s(self) -> float:
        if self._container.facts.health == "starting" and self._is_eager():
            pause, self._eager_pause_s = self._eager_pause_s, self._eager_pause_s * 2
            return min(pause, self._check.interval_s)
        if self._container.facts.health == "starting" and self._in_start_period():
            return min(self._check.start_interval_s, self._check.interval_s)
        return self._check.interval_s


def _argv(check: HealthCheck) -> tuple[str, ...]:
    if check.test[0] == "CMD-SHELL":
        return ("/bin/sh", "-c", *check.test[1:])
    return check.test[1:]
