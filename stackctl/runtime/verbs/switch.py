"""switch: the traffic of one container to another, from one moment to the next."""

from __future__ import annotations

from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.world import World


def switch(world: World, container: Container, replaced: Container | None) -> None:
    """Lead to ``container`` what has led to ``replaced``; that one keeps its connections and stands by."""
    container.facts.is_standby = False
    if replaced is not None:
        container.facts.stands_for = replaced.name if container.facts.stands_for else ""
    # Order: whoever comes after us must never find both without traffic.
    world.save(container)
    fault_point("switch: successor recorded")
    if replaced is not None:
        replaced.facts.is_standby = True
        world.save(replaced)
    fault_point("switch: recorded")
    world.networks.switch(container, replaced)
    fault_point("switch: traffic led")
    world.notify(container)
    if replaced is not None:
        world.notify(replaced)
