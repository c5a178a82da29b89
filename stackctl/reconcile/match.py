"""Which live thing is meant by which key; the rest is surplus. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.reconcile.desired import Desired


@dataclass(frozen=True, slots=True)
class Matched:
    """Containers by key, the superfluous ones of wanted keys, and the orphans: of services nobody wants.

    ``current`` misses a key that nothing claims.
    """

    current: Mapping[ResourceKey, ObservedContainer] = field(default_factory=dict)
    surplus: tuple[ObservedContainer, ...] = ()
    scaled_down: tuple[ObservedContainer, ...] = ()
    orphans: tuple[ObservedContainer, ...] = ()


def match(desired: Desired, observed: Observed) -> Matched:
    """Choose, for each wanted key, among all that claim it.

    The one that has the wanted name wins; then one that runs; then the oldest. So whatever half-done
    replacement an earlier run left, there is one answer, and it is always the same one.
    """
    claims: dict[ResourceKey, list[ObservedContainer]] = {}
    for container in observed.containers:
        if container.key is not None and not container.is_oneoff:
            claims.setdefault(container.key, []).append(container)
    services = set(desired.stack.services)
    known = services | set(desired.stack.disabled_services)
    current: dict[ResourceKey, ObservedContainer] = {}
    surplus: list[ObservedContainer] = []
    scaled_down: list[ObservedContainer] = []
    orphans: list[ObservedContainer] = []
    for key, claimants in sorted(claims.items()):
        wanted = desired.containers.get(key)
        if wanted is not None:
            best, *rest = _ranked(claimants, wanted.spec.name)
            current[key] = best
            surplus += rest
        elif key.name in services:
            scaled_down += claimants
        elif key.name not in known:
            orphans += claimants
    return Matched(current, tuple(surplus), tuple(scaled_down), tuple(orphans))


def _ranked(claimants: Sequence[ObservedContainer], name: str) -> list[ObservedContainer]:
    return sorted(
        claimants,
        key=lambda c: (c.name != name, c.state != "running", c.created_ns, c.id),
    )
