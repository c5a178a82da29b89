"""Which live thing is meant by which key; the rest is surplus. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stackctl import labels
from stackctl.model.container import ContainerSpec
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.reconcile.desired import Desired, with_numbers
from stackctl.reconcile.diff import compare
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.replica import numbered

RUNNING: Final = ("running", "restarting", "paused")
_DIGITS: Final = 12
_TEMPORARY: Final = re.compile(r"[0-9a-f]{12}_.")


@dataclass(frozen=True, slots=True)
class Matched:
    """Who is who.

    ``wanted`` is what should exist, with the numbers that live replicas have. ``current`` holds the container
    that is meant by each key, and misses a key that nothing claims. ``surplus`` claim a wanted key in vain,
    ``scaled_down`` are replicas too many, ``orphans`` of services nobody wants.
    """

    wanted: Desired
    current: Mapping[ResourceKey, ObservedContainer]
    surplus: tuple[ObservedContainer, ...] = ()
    scaled_down: tuple[ObservedContainer, ...] = ()
    orphans: tuple[ObservedContainer, ...] = ()
    oneoffs: tuple[ObservedContainer, ...] = ()


def temporary_name(replaced_id: str, name: str) -> str:
    """Return the name a container has until the one it replaces is gone."""
    return f"{replaced_id[:_DIGITS]}_{name}"


def is_temporary(name: str) -> bool:
    """Whether this is a name out of ``temporary_name``."""
    return _TEMPORARY.match(name) is not None


def is_ours(container: ObservedContainer, stack: str) -> bool:
    """Whether the container carries the stack's label."""
    return container.label(labels.PROJECT) == stack


def match(desired: Desired, observed: Observed, traits: Traits) -> Matched:
    """Choose, for each wanted key, among all that claim it.

    One that has traffic wins; then one that runs; then the one with the wanted name; then the oldest. So whatever
    half-done replacement an earlier run left, there is one answer, and it is always the same one.
    """
    claims, oneoffs = _claims(observed)
    wanted = _with_live_numbers(desired, claims, traits)
    services = set(desired.stack.services)
    known = services | set(desired.stack.disabled_services)
    current: dict[ResourceKey, ObservedContainer] = {}
    surplus: list[ObservedContainer] = []
    scaled_down: list[ObservedContainer] = []
    orphans: list[ObservedContainer] = []
    for key, claimants in sorted(claims.items()):
        container = wanted.containers.get(key)
        if container is not None:
            best, *rest = ranked(claimants, container.spec.name)
            current[key] = best
            surplus += rest
        elif key.name in services:
            scaled_down += ranked(claimants, "")
        elif key.name not in known:
            orphans += ranked(claimants, "")
    return Matched(wanted, current, tuple(surplus), tuple(scaled_down), tuple(orphans), oneoffs)


def ranked(claimants: Sequence[ObservedContainer], name: str) -> list[ObservedContainer]:
    """Return those who claim one key, the best claim first; ``name`` is the one wanted, "" if unknown."""
    return sorted(
        claimants,
        key=lambda c: (
            c.is_standby,
            c.state != "running",
            c.name != name,
            is_temporary(c.name),
            c.created_ns,
            c.id,
        ),
    )


def _claims(
    observed: Observed,
) -> tuple[dict[ResourceKey, list[ObservedContainer]], tuple[ObservedContainer, ...]]:
    claims: dict[ResourceKey, list[ObservedContainer]] = {}
    oneoffs = []
    for container in observed.containers:
        if not is_ours(container, observed.stack):
            continue
        if container.is_oneoff:
            oneoffs.append(container)
        elif container.key is not None:
            claims.setdefault(container.key, []).append(container)
    return claims, tuple(sorted(oneoffs, key=lambda c: c.name))


def _with_live_numbers(
    desired: Desired, claims: Mapping[ResourceKey, list[ObservedContainer]], traits: Traits
) -> Desired:
    """Let a service keep the replicas it has, whatever their numbers: of too many, obsolete ones go first,
    then the highest numbers."""
    live: dict[str, list[int]] = {}
    for key in claims:
        live.setdefault(key.name, []).append(key.number)
    chosen: dict[str, tuple[int, ...]] = {}
    for name, numbers in live.items():
        service = desired.stack.services.get(name)
        # Nothing but numbers up to the count: those are the wanted ones already.
        if service is None or not service.replicas or max(numbers) <= service.replicas:
            continue
        count = service.replicas
        kept = sorted(numbers)
        if len(numbers) > count:
            obsolete = {number for number in numbers if _is_obsolete(desired, name, number, claims, traits)}
            kept = sorted(numbers, key=lambda number: (number in obsolete, number))[:count]
        free = (number for number in range(1, count + 1) if number not in kept)
        chosen[name] = tuple(sorted([*kept, *(next(free) for _ in range(count - len(kept)))]))
    return with_numbers(desired, chosen) if chosen else desired


def _is_obsolete(
    desired: Desired,
    service: str,
    number: int,
    claims: Mapping[ResourceKey, list[ObservedContainer]],
    traits: Traits,
) -> bool:
    spec = numbered(desired.stack, desired.stack.services[service], desired.common[service], number)
    best = ranked(claims[ResourceKey("container", service, number)], spec.name)[0]
    return is_diverged(spec, best, traits)


def is_diverged(wanted: ContainerSpec, existing: ObservedContainer, traits: Traits) -> bool:
    """Whether the container cannot become what is wanted without being replaced."""
    if existing.spec is not None:
        return bool(compare(wanted, existing.spec, traits).replacing)
    return existing.fingerprint != dict(wanted.labels).get(labels.CONFIG_HASH)
