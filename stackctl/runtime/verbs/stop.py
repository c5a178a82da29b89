"""stop and kill."""

from __future__ import annotations

from collections.abc import Callable

from stackctl.errors import Conflict, ContainerError
from stackctl.runtime.faults import fault_point
from stackctl.runtime.kernel.process import send_signal, signal_number
from stackctl.runtime.record import Container
from stackctl.runtime.verbs.pause import thaw
from stackctl.runtime.verbs.retire import retire
from stackctl.runtime.world import World

Done = Callable[[Exception | None], None]
_KILL = 9


def stop(world: World, container: Container, grace_s: float, done: Done, *, hold_s: float = 0.0) -> None:
    """Stop: traffic off, drain, stop signal, after ``grace_s`` SIGKILL; ``done`` when it has exited.

    Who connects to published TCP ports that nobody else serves waits for a successor, at most ``hold_s`` seconds. The
    restart policy does not bring the container back. One that does not run is a success.
    """
    container.facts.is_to_return = False
    container.facts.is_wanted = False
    container.facts.was_stopped = True
    if container.restart_timer is not None:
        container.restart_timer.cancel()
        container.restart_timer = None
        world.networks.release_ports(container)
        if container.logs is not None:
            container.logs.mark_ended()
        world.set_phase(container, "exited")
    if not container.is_running:
        world.save(container)
        done(None)
        return
    # Order: that its end is meant is on disk before it ends, or the next supervisor would bring it back.
    world.save(container)
    fault_point("stop: intent written")
    container.is_being_stopped = True
    call_when_exited(world, container, lambda: done(None))
    thaw(world, container)
    if container.stop_timer is not None:
        container.stop_timer.cancel()
    retire(world, container, grace_s, hold_s, lambda: _send_stop_signal(world, container, grace_s))


def _send_stop_signal(world: World, container: Container, grace_s: float) -> None:
    fault_point("stop: traffic off")
    send_signal(container.pidfd, _stop_signal(container))
    world.events.tell_container(container, "kill", signal=str(_stop_signal(container)))
    fault_point("stop: signal sent")
    container.stop_timer = world.loop.call_later(grace_s, lambda: kill_all(world, container))


def _stop_signal(container: Container) -> int:
    try:
        return signal_number(container.spec.stop_signal or "SIGTERM")
    except ValueError:
        return signal_number("SIGTERM")


def kill_all(world: World, container: Container) -> None:
    """SIGKILL to everything in the container."""
    if container.is_running:
        send_signal(container.pidfd, _KILL)
        world.events.tell_container(container, "kill", signal=str(_KILL))
        if container.spec.pid_mode:  # its end is not that of the others
            world.cgroups.kill_all(world.paths.engine_id, container.id)


def kill(world: World, container: Container, signal_name: str) -> None:
    """Send a signal to the first process; after SIGKILL or its stop signal the restart policy does not bring it back.

    Raises ContainerError for an unknown signal, Conflict if it does not run.
    """
    try:
        number = signal_number(signal_name)
    except ValueError as error:
        raise ContainerError(str(error), code="unknown-signal") from error
    if not container.is_running:
        raise Conflict(f"container {container.name} is not running", code="container-not-running")
    if number in (_KILL, _stop_signal(container)):
        container.facts.is_wanted = False
        container.facts.was_stopped = True
        world.save(container)
    # What the signal does is seen a moment later: a receipt must not vouch for the time until then.
    world.stamps.spoil(container.spec)
    send_signal(container.pidfd, number)
    world.events.tell_container(container, "kill", signal=str(number))
    if number == _KILL:
        thaw(world, container)


def call_when_exited(world: World, container: Container, done: Callable[[], None]) -> None:
    """Call ``done`` once the container neither runs nor waits for a restart."""

    def look(changed: Container) -> None:
        if changed is container and container.phase in ("exited", "created", "removing"):
            world.listeners.remove(look)
            done()

    world.listeners.append(look)
