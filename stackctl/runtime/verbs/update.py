"""update: another specification for a container that is there, at once if it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.runtime import health
from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.verbs import networking
from stackctl.runtime.world import World

_APART: Final = ("networking", "ports")


def update(world: World, container: Container, wanted: ContainerSpec, fields: Sequence[str]) -> None:
    """Let ``fields`` of the container's specification be as ``wanted`` has them; its processes do not notice.

    What can be refused comes first: host ports, then places on networks. Raises PortTaken, PortUnavailable,
    NotFound, Conflict; what was changed before that stays, and asking again goes on from there.
    """
    if "ports" in fields and container.spec.ports != wanted.ports:
        _change_ports(world, container, wanted)
    if "networking" in fields and container.spec.networking != wanted.networking:
        _change_networks(world, container, wanted)
    rest = {name: getattr(wanted, name) for name in fields if name not in _APART}
    if "limits" in rest and container.is_running:
        cgroup = world.cgroups.find(world.paths.engine_id, container.id)
        container.told = tuple(world.cgroups.apply_limits(cgroup, wanted.limits))
    before = container.spec
    if rest:
        _save(world, container, **rest)
    if container.logs is not None:
        container.logs.follow(container.spec.log)
    if container.spec.health != before.health:
        health.change(world, container)
    world.notify(container)


def _change_ports(world: World, container: Container, wanted: ContainerSpec) -> None:
    if container.is_running or container.phase == "restarting":
        world.networks.exchange_ports(container, wanted.ports)
        fault_point("update: ports exchanged")
    _save(world, container, ports=wanted.ports)
    world.save(container)


def _change_networks(world: World, container: Container, wanted: ContainerSpec) -> None:
    """New networks first: there is always one by which the container is reached."""
    after = wanted.networking.attachments if isinstance(wanted.networking, JoinNetworks) else ()
    before = container.spec.networking.attachments if isinstance(container.spec.networking, JoinNetworks) else ()
    known, kept = {place.network for place in before}, {place.network for place in after}
    for place in after:
        if place.network not in known:
            networking.connect(world, container, place)
    for place in before:
        if place.network not in kept:
            networking.disconnect(world, container, place.network)
    # Their order, and the names on those that stay.
    _save(world, container, networking=wanted.networking)
    world.networks.rename(container)


def _save(world: World, container: Container, **fields: Any) -> None:
    container.spec = replace(container.spec, **fields)
    container.revision += 1
    world.save_spec(container)
