"""What happens when a container's first process has ended."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from stackctl.model.container import RestartPolicy, VolumeMount
from stackctl.runtime import health
from stackctl.runtime.faults import fault_point
from stackctl.runtime.kernel import features
from stackctl.runtime.kernel.process import exit_code, exit_status
from stackctl.runtime.record import Container
from stackctl.runtime.world import World

_RETRY_S: Final = 0.001
_GIVE_UP_S: Final = 2.0
_UNKNOWN: Final = 255
_FIRST_BACK_OFF_S: Final = 0.1
_LONGEST_BACK_OFF_S: Final = 60.0
_GOOD_RUN_NS: Final = 10_000_000_000


def watch(world: World, container: Container) -> None:
    """Handle the exit of the container's first process when it comes."""
    world.loop.register(container.pidfd, lambda: _on_death(world, container, time.monotonic()))


def _on_death(world: World, container: Container, since: float) -> None:
    world.loop.unregister(container.pidfd)
    # The keeper reaps, and only then is the status there: usually a fraction of a millisecond later.
    status = _status(world, container)
    if status is None and time.monotonic() - since < _GIVE_UP_S:
        world.loop.call_later(_RETRY_S, lambda: _on_death(world, container, since))
        return
    ended(world, container, _UNKNOWN if status is None else exit_code(status))


def _status(world: World, container: Container) -> int | None:
    status = exit_status(container.pidfd) if features.PIDFD_INFO not in world.without else None
    if status is not None:
        return status
    found = world.journal.find(container.id)
    return None if found is None else found.status


def ended(world: World, container: Container, code: int) -> None:
    """Record an exit, release what the process held, and restart it if the policy says so."""
    if container.look_at_start is not None:
        # The child is dead, so its report is complete: take it before the exit it explains.
        container.look_at_start()
    facts = container.facts
    facts.exit_code, facts.finished_ns = code, time.time_ns()
    # The group, and so its count, stays from one run to the next when the restart policy brings it back.
    facts.oom_killed = world.cgroups.oom_kills(world.paths.engine_id, container.id) > facts.oom_kills_before
    ran_ns = facts.finished_ns - facts.started_ns
    # Order: the code is on disk before anyone is told; descriptors that pin the network namespace go first.
    fault_point("exit: seen")
    health.end(container)
    close_process(world, container)
    facts.pid = facts.identity = 0
    facts.is_paused = False
    if container.failed_start is not None:
        container.failed_start()
        return
    _tell_of_end(world, container, ran_ns)
    if ran_ns > (container.spec.restart.window_s * 1_000_000_000 or _GOOD_RUN_NS):
        facts.back_off = 0
    follow_policy(world, container, code)


def _tell_of_end(world: World, container: Container, ran_ns: int) -> None:
    facts = container.facts
    for name in facts.addresses:
        network = world.networks.find(name)
        if network is not None:
            world.events.tell_network(network, "disconnect", container)
    if facts.oom_killed:
        world.events.tell_container(container, "oom")
    if container.is_being_stopped:
        container.is_being_stopped = False
        world.events.tell_container(container, "stop")
    seconds = str(ran_ns // 1_000_000_000)
    world.events.tell_container(container, "die", execDuration=seconds, exitCode=str(facts.exit_code))


def follow_policy(world: World, container: Container, code: int) -> None:
    """Bring an ended container back later, or let it be ended, as its restart policy says."""
    facts = container.facts
    is_due = _should_restart(container.spec.restart, _attempts(container), code)
    if facts.is_wanted and is_due and not world.is_stopping:
        _restart_later(world, container)
        return
    release(world, container)
    fault_point("exit: all given back")
    world.set_phase(container, "exited" if facts.started_ns else "created")


def is_due(container: Container) -> bool:
    """Say whether the restart policy brings the ended container back."""
    facts = container.facts
    return facts.is_wanted and _should_restart(container.spec.restart, _attempts(container), facts.exit_code or 0)


def _attempts(container: Container) -> int:
    facts = container.facts
    return facts.back_off if container.spec.restart.window_s else facts.restart_count


def _should_restart(policy: RestartPolicy, attempts: int, code: int) -> bool:
    match policy.kind:
        case "no":
            return False
        case "on-failure":
            return code != 0 and (policy.max_attempts == 0 or attempts < policy.max_attempts)
        case "always" | "unless-stopped":
            return True


def _restart_later(world: World, container: Container) -> None:
    from stackctl.runtime.verbs import start  # the two verbs call each other

    facts = container.facts
    back_off_s = min(_FIRST_BACK_OFF_S * 2 ** min(facts.back_off, 20), _LONGEST_BACK_OFF_S)
    delay = container.spec.restart.delay_s or back_off_s
    facts.back_off += 1
    facts.restart_count += 1
    world.networks.unpublish(container)

    def again() -> None:
        container.restart_timer = None
        start.launch(world, container, lambda _: None)

    world.set_phase(container, "restarting")
    container.restart_timer = world.loop.call_later(delay, again)


def close_process(world: World, container: Container) -> None:
    """Let go of what is open for the first process. Harmless when nothing is."""
    if container.logs is not None:
        container.logs.finish()
    for name in ("stdin", "terminal", "report"):
        world.kept.drop(f"{container.id}/{name}")
    world.holder.release(container.id)
    world.networks.disconnect(container)
    for fd in (container.pidfd, container.terminal_fd, container.stdin_fd):
        if fd >= 0:
            world.loop.unregister(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
    container.pidfd = container.terminal_fd = container.stdin_fd = -1
    if container.stop_timer is not None:
        container.stop_timer.cancel()
        container.stop_timer = None


def release(world: World, container: Container) -> None:
    """Give back what only a running container holds: traffic, ports, the cgroup; end its log."""
    close_process(world, container)
    world.networks.unpublish(container)
    world.networks.release_ports(container)
    if container.logs is not None:
        container.logs.close()
        container.logs.mark_ended()
        container.logs = None
    world.cgroups.remove(world.paths.engine_id, container.id)
    used = {name for other in world.containers.values() if other.is_running for name in _volumes(other)}
    for name in _volumes(container) - used:
        world.volumes.unmount(name)


def _volumes(container: Container) -> set[str]:
    return {mount.volume for mount in container.spec.mounts if isinstance(mount, VolumeMount)}
