"""Plans about what exists already: down, stop, start, restart, kill. They need no stack file: labels tell. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.container import ShareNetwork
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer, ObservedVolume
from stackctl.model.stack import Condition
from stackctl.reconcile import graph
from stackctl.reconcile.action import (
    AwaitCondition,
    KillContainer,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    StartContainer,
    StopContainer,
)
from stackctl.reconcile.plan import Change, ChangeKind, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy

_RUNNING = ("running", "restarting", "paused")
_CONDITIONS: dict[str, Condition] = {
    "service_healthy": "service_healthy",
    "service_completed_successfully": "service_completed_successfully",
}


class _Services:
    """The services of a stack as their containers' labels tell them."""

    def __init__(self, observed: Observed, policy: Policy, *, with_needs: bool = False) -> None:
        ours = [c for c in observed.containers if c.label(labels.PROJECT) == observed.stack]
        self.containers: dict[str, list[ObservedContainer]] = {}
        for container in sorted(ours, key=lambda c: (c.key or ResourceKey("container", c.name), c.name)):
            if not container.is_oneoff and container.key is not None:
                self.containers.setdefault(container.key.name, []).append(container)
        self.oneoffs = [container for container in ours if container.is_oneoff]
        self.needs = {name: _needs(self.containers[name]) for name in self.containers}
        edges = {name: [need for need in needs if need in self.containers] for name, needs in self.needs.items()}
        self.edges = edges
        self.order = graph.dependency_order(edges) if len(edges) > 1 else list(edges)
        self.selected = self._select(policy, with_needs)

    def _select(self, policy: Policy, with_needs: bool) -> set[str]:
        unknown = [name for name in policy.services if name not in self.containers]
        if unknown:
            raise PlanError(f"no such service: {unknown[0]}", code="no-such-service",
                            hint="it has no containers in this stack")
        if not policy.services:
            return set(self.containers)
        chosen = set(policy.services)
        return graph.with_dependencies(self.edges, chosen) if with_needs and not policy.no_deps else chosen

    def dependents(self, service: str) -> list[str]:
        """Return the services that depend directly on one."""
        return [name for name, needs in self.edges.items() if service in needs]


def _needs(containers: Sequence[ObservedContainer]) -> dict[str, tuple[str, bool]]:
    """Return service -> (condition, restart) from the label, and from a shared network."""
    found: dict[str, tuple[str, bool]] = {}
    for container in containers:
        for entry in container.label(labels.DEPENDS_ON).split(","):
            service, _, rest = entry.partition(":")
            condition, _, restart = rest.partition(":")
            if service:
                found[service] = (condition, restart == "true")
    return found


def plan_stop(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops the services, dependents first."""
    services = _Services(observed, policy)
    steps = PlanBuilder()
    changes: list[Change] = []
    _add_stops(steps, services, policy, changes, "stop")
    return _plan(observed, steps, changes)


def plan_kill(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that sends the signal to every running container."""
    services = _Services(observed, policy)
    steps = PlanBuilder()
    changes = []
    for service in services.order:
        for container in services.containers[service]:
            if service in services.selected and container.state in _RUNNING:
                steps.add(KillContainer(container.name, container.id, policy.signal), because="asked for",
                          disruption="restart")
                changes.append(_change(container, "kill"))
    return _plan(observed, steps, changes)


def plan_start(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that starts existing containers, and those of their dependencies, keeping conditions."""
    services = _Services(observed, policy, with_needs=True)
    steps = PlanBuilder()
    changes: list[Change] = []
    _add_starts(steps, services, policy, changes, {})
    return _plan(observed, steps, changes)


def plan_restart(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops and starts the services, and dependents that asked to be restarted with them."""
    services = _Services(observed, policy)
    if not policy.no_deps:
        _add_restarting_dependents(services)
    steps = PlanBuilder()
    changes: list[Change] = []
    stopped = _add_stops(steps, services, policy, changes, "restart")
    _add_starts(steps, services, policy, [], stopped)
    return _plan(observed, steps, changes)


def _add_restarting_dependents(services: _Services) -> None:
    shares = {
        name
        for name, containers in services.containers.items()
        if any(c.spec is not None and isinstance(c.spec.networking, ShareNetwork) for c in containers)
    }
    grown = True
    while grown:
        grown = False
        for name, needs in services.needs.items():
            wants = any(need in services.selected and (restart or name in shares) for need, (_, restart) in needs.items())
            if wants and name not in services.selected:
                services.selected.add(name)
                grown = True


def plan_down(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops and removes containers, then networks, and with ``remove_volumes`` volumes.

    With services named only their containers go. One-offs go only with ``remove_orphans``, unless they have
    ended and stand in the way of nothing.
    """
    services = _Services(observed, policy)
    steps = PlanBuilder()
    changes: list[Change] = []
    warnings: list[Diagnostic] = []
    stopped = _add_stops(steps, services, policy, [], "remove")
    removed: set[int] = set()
    for service in services.order:
        if service in services.selected:
            for container in services.containers[service]:
                after = stopped.get(container.name, set())
                removed.add(steps.add(RemoveContainer(container.name, container.id), after=after, because="asked for",
                                      disruption="replace"))
                changes.append(_change(container, "remove"))
    if policy.services:
        return _plan(observed, steps, changes)
    remaining = _oneoffs(services, policy, steps, changes, removed)
    _remove_networks(observed, steps, changes, warnings, removed, remaining)
    if policy.remove_volumes:
        _remove_volumes(observed, steps, changes, warnings, removed, remaining)
    return _plan(observed, steps, changes, warnings)


def _oneoffs(
    services: _Services, policy: Policy, steps: PlanBuilder, changes: list[Change], removed: set[int]
) -> set[str]:
    remaining = set()
    for container in services.oneoffs:
        if not policy.remove_orphans and container.state in _RUNNING:
            remaining.add(container.name)
            continue
        after: set[int] = set()
        if container.state in _RUNNING:
            stop = StopContainer(container.name, container.id, _grace(container, policy))
            after = {steps.add(stop, because="asked for", disruption="restart")}
        removed.add(steps.add(RemoveContainer(container.name, container.id), after=after, because="asked for"))
        changes.append(_change(container, "remove"))
    return remaining


def _remove_networks(
    observed: Observed,
    steps: PlanBuilder,
    changes: list[Change],
    warnings: list[Diagnostic],
    removed: set[int],
    remaining: set[str],
) -> None:
    going = {c.name for c in observed.containers if c.label(labels.PROJECT) == observed.stack} - remaining
    for network in observed.networks:
        if dict(network.labels).get(labels.PROJECT) != observed.stack:
            continue
        users = [name for name in network.containers if name not in going]
        if users:
            warnings.append(_still_in_use("network", network.name, users))
            continue
        steps.add(RemoveNetwork(network.name, network.id), after=removed, because="asked for", disruption="replace")
        changes.append(Change(network.key or ResourceKey("network", network.name), "remove", network.name))


def _remove_volumes(
    observed: Observed,
    steps: PlanBuilder,
    changes: list[Change],
    warnings: list[Diagnostic],
    removed: set[int],
    remaining: set[str],
) -> None:
    going = {c.name for c in observed.containers if c.label(labels.PROJECT) == observed.stack} - remaining
    for volume in observed.volumes:
        if not _is_removable(volume, observed.stack):
            continue
        users = [name for name in volume.used_by if name not in going]
        if users:
            warnings.append(_still_in_use("volume", volume.name, users))
            continue
        steps.add(RemoveVolume(volume.name), after=removed, because="asked for by --volumes",
                  disruption="destroys data")
        changes.append(Change(volume.key or ResourceKey("volume", volume.name), "remove", volume.name))


def _is_removable(volume: ObservedVolume, stack: str) -> bool:
    is_external = volume.spec is not None and volume.spec.is_external
    return dict(volume.labels).get(labels.PROJECT) == stack and not is_external


def _still_in_use(kind: str, name: str, users: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code=f"{kind}-in-use",
        summary=f"{kind.capitalize()} is still in use",
        detail=f"{kind} {name} is kept: {', '.join(users)} use{'s' if len(users) == 1 else ''} it.",
    )


def _add_stops(
    steps: PlanBuilder, services: _Services, policy: Policy, changes: list[Change], kind: ChangeKind
) -> dict[str, set[int]]:
    """Add a stop for each running container, dependents first; return container name -> its stop."""
    stopped: dict[str, set[int]] = {}
    by_service: dict[str, set[int]] = {}
    for service in reversed(services.order):
        if service not in services.selected:
            continue
        # Order: whoever uses a service goes before it. A stop that fails must not keep the others up.
        before = set().union(*(by_service.get(name, set()) for name in services.dependents(service)), set())
        for container in services.containers[service]:
            if container.state not in _RUNNING:
                continue
            stop = StopContainer(container.name, container.id, _grace(container, policy))
            step = steps.add(stop, soft_after=before, because="asked for", disruption="restart")
            stopped[container.name] = {step}
            by_service.setdefault(service, set()).add(step)
            changes.append(_change(container, kind))
    return stopped


def _add_starts(
    steps: PlanBuilder,
    services: _Services,
    policy: Policy,
    changes: list[Change],
    stopped: dict[str, set[int]],
) -> None:
    started: dict[str, set[int]] = {}
    awaits: dict[tuple[str, str], int] = {}
    for service in services.order:
        if service not in services.selected:
            continue
        gates = set() if policy.no_deps else _gates(steps, services, service, started, awaits)
        for container in services.containers[service]:
            is_done = container.state in _RUNNING and container.name not in stopped
            if is_done or _is_satisfied(services, service, container, stopped):
                continue
            action = StartContainer(container.name, container.id)
            after = gates | stopped.get(container.name, set())
            started.setdefault(service, set()).add(steps.add(action, after=after, because="asked for"))
            changes.append(_change(container, "start"))
    if policy.wait:
        for service in services.order:
            if service in started and (service, "service_healthy") not in awaits:
                names = tuple(container.name for container in services.containers[service])
                action_wait = AwaitCondition(names, "service_healthy", policy.wait_timeout_s)
                steps.add(action_wait, after=started[service], because="asked for by --wait")


def _is_satisfied(
    services: _Services, service: str, container: ObservedContainer, stopped: dict[str, set[int]]
) -> bool:
    is_awaited = any(
        needs.get(service, ("", False))[0] == "service_completed_successfully" for needs in services.needs.values()
    )
    has_succeeded = container.state == "exited" and container.exit_code == 0
    return is_awaited and has_succeeded and container.name not in stopped


def _gates(
    steps: PlanBuilder,
    services: _Services,
    service: str,
    started: dict[str, set[int]],
    awaits: dict[tuple[str, str], int],
) -> set[int]:
    gates: set[int] = set()
    for need, (text, _) in services.needs[service].items():
        starts = started.get(need, set())
        condition = _CONDITIONS.get(text)
        if not starts:
            continue
        if condition is None:
            gates |= starts
            continue
        if (need, condition) not in awaits:
            names = tuple(container.name for container in services.containers[need])
            awaits[need, condition] = steps.add(
                AwaitCondition(names, condition), after=starts, because=f"others wait for {need}"
            )
        gates.add(awaits[need, condition])
    return gates


def _grace(container: ObservedContainer, policy: Policy) -> float:
    if policy.grace_s is not None:
        return policy.grace_s
    return container.spec.stop_grace_s if container.spec is not None else 10.0


def _change(container: ObservedContainer, kind: ChangeKind) -> Change:
    return Change(container.key or ResourceKey("container", container.name), kind, container.name)


def _plan(
    observed: Observed, steps: PlanBuilder, changes: Sequence[Change], warnings: Sequence[Diagnostic] = ()
) -> Plan:
    return Plan(
        stack=observed.stack,
        steps=steps.steps(),
        changes=tuple(changes),
        warnings=tuple(warnings),
        base=observed.fingerprint,
    )
