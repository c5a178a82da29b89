"""rename: another name for the same container, and its place in the DNS under it."""

from __future__ import annotations

from dataclasses import replace

from stackctl.errors import Conflict
from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.world import World


def rename(world: World, container: Container, new_name: str) -> None:
    """Give the container another name. Raises Conflict when that is taken by another."""
    holder = world.names.get(new_name)
    if holder is container:
        return
    if holder is not None:
        raise Conflict(
            f"the container name {new_name!r} is already in use by container {holder.id[:12]}", code="name-taken"
        )
    old_name = container.name
    del world.names[old_name]
    container.spec = replace(container.spec, name=new_name)
    container.revision += 1
    world.names[new_name] = container
    if container.facts.stands_for == new_name:
        container.facts.stands_for = ""
    # Order: the specification is the truth; a row with the old name is corrected from it.
    world.save_spec(container)
    fault_point("rename: specification written")
    world.save(container)
    fault_point("rename: row written")
    world.networks.rename(container)
    world.events.tell_container(container, "rename", oldName=f"/{old_name}")
    world.notify(container)
