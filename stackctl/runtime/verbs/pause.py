"""pause and unpause: a container's processes stop where they are, and go on later."""

from __future__ import annotations

from stackctl.errors import Conflict
from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.world import World


def pause(world: World, container: Container) -> None:
    """Stop every process of a running container. Raises Conflict, EngineError."""
    if not container.is_running or container.phase != "running":
        raise Conflict(f"container {container.name} is not running", code="container-not-running")
    if container.facts.is_paused:
        raise Conflict(f"container {container.name} is already paused", code="container-paused")
    # Order: what is recorded as paused and is not can be unpaused; what is and is not recorded would be forgotten.
    container.facts.is_paused = True
    world.save(container)
    fault_point("pause: intent written")
    try:
        world.cgroups.freeze(world.paths.engine_id, container.id)
    except BaseException:
        container.facts.is_paused = False
        world.save(container)
        raise
    world.events.tell_container(container, "pause")
    world.notify(container)


def unpause(world: World, container: Container) -> None:
    """Let a paused container go on. Raises Conflict when it is not paused."""
    if not container.facts.is_paused:
        raise Conflict(f"container {container.name} is not paused", code="container-not-paused")
    thaw(world, container)


def thaw(world: World, container: Container) -> None:
    """Let the container's processes go on; harmless when they do."""
    if container.facts.is_paused:
        world.cgroups.thaw(world.paths.engine_id, container.id)
        fault_point("unpause: thawed")
        container.facts.is_paused = False
        world.save(container)
        world.events.tell_container(container, "unpause")
        world.notify(container)
