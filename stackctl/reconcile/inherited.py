"""``volumes_from``: what a container mounts because a container of another service does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackctl.model.container import BindMount, ContainerSpec, Mount, VolumeMount
from stackctl.model.stack import Stack
from stackctl.reconcile.replica import numbered


def mounts_with_inherited(
    stack: Stack, common: Mapping[str, ContainerSpec], first: Mapping[str, int], service: str, number: int
) -> tuple[Mount, ...]:
    """Return the mounts of a replica: its own, and behind them those of the first replicas it takes volumes from.

    ``first`` has the lowest number there is of each service. What is mounted at a target already stays.
    """
    return _mounts(stack, common, first, (service, number), frozenset())


def _mounts(
    stack: Stack,
    common: Mapping[str, ContainerSpec],
    first: Mapping[str, int],
    replica: tuple[str, int],
    above: frozenset[str],
) -> tuple[Mount, ...]:
    name, number = replica
    service = stack.services[name]
    found = {mount.target: mount for mount in numbered(stack, service, common[name], number).mounts}
    for use in service.volumes_from:
        if use.service in above or use.service not in stack.services:
            continue  # a circle is reported where the order is made
        other = (use.service, first.get(use.service, 1))
        for mount in _mounts(stack, common, first, other, above | {name}):
            if isinstance(mount, BindMount | VolumeMount):
                found.setdefault(mount.target, replace(mount, read_only=mount.read_only or use.read_only))
    return tuple(found.values())
