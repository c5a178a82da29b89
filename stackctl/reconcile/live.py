"""What of a container can change while it runs. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.model.limits import Limits
from stackctl.model.observed import ObservedContainer
from stackctl.reconcile.engine import Traits

ALL_LIVE: Final = frozenset(
    {
        "exposed_ports",
        "health",
        "image_ref",
        "labels",
        "limits",
        "log",
        "networking",
        "ports",
        "pre_stop",
        "restart",
        "stop_grace_s",
        "stop_signal",
    }
)
"""The fields that an engine which owns network, firewall and supervision can change in place."""


def is_live(field: str, before: object, after: object, traits: Traits) -> bool:
    """Whether a field can go from one value to another under a running container."""
    if field not in traits.live_fields:
        return False
    if field == "limits":
        return _limits_are_live(before, after, traits)
    if field != "networking":
        return True
    # An address that is in use cannot change under its user, and whoever leaves every network of his is cut off.
    if not (isinstance(before, JoinNetworks) and isinstance(after, JoinNetworks)):
        return False
    places = {place.network: (place.ipv4_address, place.mac_address) for place in before.attachments}
    stays = [
        places[place.network] == (place.ipv4_address, place.mac_address)
        for place in after.attachments
        if place.network in places
    ]
    return bool(stays) and all(stays)


def _limits_are_live(before: object, after: object, traits: Traits) -> bool:
    for item in fields(Limits):
        old, new = getattr(before, item.name), getattr(after, item.name)
        is_lifted = old != item.default and new == item.default
        if old != new and (item.name in traits.fixed_limits or (is_lifted and not traits.can_lift_limits)):
            return False
    return True


def live_fields(wanted: ContainerSpec, existing: ObservedContainer, traits: Traits) -> tuple[str, ...]:
    """Return the fields that differ and can be changed in place."""
    spec = existing.spec
    if spec is None:
        return ()
    pairs = ((name, getattr(spec, name), getattr(wanted, name)) for name in sorted(traits.live_fields))
    return tuple(name for name, before, after in pairs if before != after and is_live(name, before, after, traits))
