"""connect and disconnect: another network for a container that is there, at once if it runs."""

from __future__ import annotations

from dataclasses import replace

from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.model.container import Attachment, JoinNetworks
from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.world import World


def connect(world: World, container: Container, place: Attachment) -> None:
    """Put the container on one network more. Raises NotFound; Conflict when it is there, or cannot be on any."""
    network = world.networks.find(place.network)
    if network is None:
        raise NotFound(f"network {place.network} not found", code="no-such-network")
    before = _networking(container)
    if any(other.network == place.network for other in before.attachments):
        raise Conflict(
            f"endpoint with name {container.name} already exists in network {place.network}", code="already-connected"
        )
    _change(world, container, JoinNetworks((*before.attachments, place)))
    fault_point("connect: specification written")
    if container.is_running:
        try:
            world.networks.join(container, place)
        except (OSError, EngineError):
            _change(world, container, before)
            world.networks.part(container, place.network)
            world.save(container)
            raise
        world.save(container)
        world.events.tell_network(network, "connect", container)
    world.notify(container)


def disconnect(world: World, container: Container, name: str) -> None:
    """Take the container off a network. Raises Conflict when it is not on it."""
    before = _networking(container)
    left = tuple(other for other in before.attachments if other.network != name)
    if left == before.attachments:
        raise Conflict(f"container {container.id} is not connected to network {name}", code="not-connected")
    _change(world, container, JoinNetworks(left))
    fault_point("disconnect: specification written")
    world.networks.part(container, name)
    world.save(container)
    network = world.networks.find(name)
    if network is not None and container.is_running:
        world.events.tell_network(network, "disconnect", container)
    world.notify(container)


def _networking(container: Container) -> JoinNetworks:
    networking = container.spec.networking
    if not isinstance(networking, JoinNetworks):
        raise Conflict(
            f"container {container.name} has no network of its own: it cannot be connected to others",
            code="not-connected",
        )
    return networking


def _change(world: World, container: Container, networking: JoinNetworks) -> None:
    container.spec = replace(container.spec, networking=networking)
    container.revision += 1
    world.save_spec(container)
