"""plan_up: from changes to steps in an order that keeps everybody's conditions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.container import ContainerSpec, namespace_owners
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Condition, Dependency
from stackctl.reconcile import graph
from stackctl.reconcile.action import (
    AwaitCondition,
    CreateContainer,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from stackctl.reconcile.changes import Changes, find_changes
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.diff import label_reasons
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.gates import Edges, Gates, Need
from stackctl.reconcile.live import live_fields
from stackctl.reconcile.match import RUNNING, Matched, match, temporary_name
from stackctl.reconcile.plan import Change, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.resource_steps import ResourceSteps, grace_of

_INTERRUPTING: Final = ("replace", "restart")


def plan_up(desired: Desired, observed: Observed, policy: Policy, traits: Traits) -> Plan:
    """Return the plan that makes the stack be as desired. Raises PlanError.

    It is empty when everything is so already. Nothing without this stack's labels is changed.
    """
    order = graph.service_order(desired.stack)
    selected = _selected(desired, policy)
    matched = match(desired, observed, traits)
    changes = find_changes(observed, matched, policy, traits, selected, order)
    return _UpPlanner(observed, matched, changes, policy, traits, order).plan()


def plan_dependencies(desired: Desired, observed: Observed, service: str, policy: Policy, traits: Traits) -> Plan:
    """Return the plan that makes what a one-off of ``service`` needs: networks, volumes and dependencies."""
    order = graph.service_order(desired.stack)
    edges = graph.edges_of(desired.stack)
    needed = set() if policy.no_deps else graph.with_dependencies(edges, [service]) - {service}
    matched = match(desired, observed, traits)
    changes = find_changes(observed, matched, policy, traits, frozenset(needed), order)
    return _UpPlanner(observed, matched, changes, policy, traits, order, oneoff_of=service).plan()


def _selected(desired: Desired, policy: Policy) -> frozenset[str]:
    stack = desired.stack
    if not policy.services:
        return frozenset(stack.services)
    unknown = [name for name in policy.services if name not in stack.services]
    if unknown:
        raise PlanError(f"no such service: {unknown[0]}", code="no-such-service")
    if policy.no_deps:
        return frozenset(policy.services)
    return frozenset(graph.with_dependencies(graph.edges_of(stack), policy.services))


class _UpPlanner:
    """Collects the steps of one plan."""

    def __init__(
        self,
        observed: Observed,
        matched: Matched,
        changes: Changes,
        policy: Policy,
        traits: Traits,
        order: Sequence[str],
        *,
        oneoff_of: str = "",
    ) -> None:
        self._observed = observed
        self._matched = matched
        self._wanted = matched.wanted
        self._changes = changes
        self._policy = policy
        self._traits = traits
        self._order = order
        self._oneoff_of = oneoff_of
        self._keys = self._wanted.by_service()
        self._owners = {c.spec.name: key.name for key, c in self._wanted.containers.items()}
        self._steps = PlanBuilder()
        # After these steps the next replica of the service at hand may be interrupted.
        self._ready: set[int] = set()
        names = {
            service: tuple(self._wanted.containers[key].spec.name for key in keys)
            for service, keys in self._keys.items()
        }
        timeout_s = policy.wait_timeout_s if policy.wait else 0.0
        self._gates = Gates(self._steps, names, self._holds_already, timeout_s=timeout_s)
        self._under = ResourceSteps(self._steps, observed, matched, changes, policy, oneoff_of)

    def plan(self) -> Plan:
        """Return the whole plan; before a one-off it also waits for what its service would wait for."""
        self._under.add()
        changed = list(self._under.changed)
        for service in self._order:
            if service in self._changes.services:
                changed += self._service(service)
        if self._oneoff_of and not self._policy.no_deps:
            self._gates.edges(self._needs(self._oneoff_of))
        if self._policy.wait and not self._policy.no_start:
            self._wait_for_all()
        return Plan(
            stack=self._wanted.stack.name,
            steps=self._steps.steps(),
            changes=tuple(changed),
            warnings=(*self._changes.warnings, *self._orphan_warnings()),
            base=self._observed.fingerprint,
        )

    def _orphan_warnings(self) -> list[Diagnostic]:
        if not self._matched.orphans or self._policy.remove_orphans:
            return []
        names = ", ".join(container.name for container in self._matched.orphans)
        return [
            Diagnostic(
                severity="warning",
                code="orphans",
                summary="Containers of services that the stack no longer has",
                detail=f"{names} still exist.",
                hint="if the services were renamed or removed, add --remove-orphans",
            )
        ]

    # -- containers -----------------------------------------------------------------------------------

    def _service(self, service: str) -> list[Change]:
        changed = []
        started: set[int] = set()
        self._ready = set()
        interrupted = [key for key in self._keys[service] if self._changes.containers[key].kind in _INTERRUPTING]
        first = interrupted[: len(interrupted) // 2]
        first_started: set[int] = set()
        for key in self._keys[service]:
            change = self._changes.containers[key]
            if self._policy.no_start and change.kind in ("start", "restart"):
                continue
            changed.append(change)
            if first and key == interrupted[len(first)]:
                self._ready = self._wait_for_half(first, first_started)
            own = self._container(key, change)
            started |= own
            first_started |= own if key in first else set()
        self._gates.note_started(service, started)
        return changed

    def _wait_for_half(self, keys: Sequence[ResourceKey], started: set[int]) -> set[int]:
        """Return the steps after which half of a service's replicas serve again and the others may go."""
        specs = [self._wanted.containers[key].spec for key in keys]
        if not started or specs[0].health is None:
            return started
        names = tuple(spec.name for spec in specs)
        because = "half of the replicas at a time"
        return {self._steps.add(AwaitCondition(names, "service_healthy", 0.0), after=started, because=because)}

    def _container(self, key: ResourceKey, change: Change) -> set[int]:
        """Add what the change needs; return the step that starts the container, if one does."""
        existing = self._matched.current.get(key)
        if change.kind == "create":
            return self._create(key, "is missing", self._under.under(key))
        if existing is None or change.kind == "keep":
            return set()
        if change.kind == "replace":
            return self._replace(key, existing, change)
        updated = self._update(key, existing, change)
        if change.kind == "start":
            return self._start(key, existing.id, updated, change.because)
        if change.kind == "restart":
            return self._restart(key, existing, change, updated)
        return set()

    def _create(self, key: ResourceKey, because: str, after: set[int]) -> set[int]:
        spec = self._wanted.containers[key].spec
        created = self._steps.add(CreateContainer(spec), after=after, because=because, source=spec.origin.get(""))
        return self._start(key, "", {created}, because)

    def _update(self, key: ResourceKey, existing: ObservedContainer, change: Change) -> set[int]:
        """Change what can be changed in place; return the steps after which the container is as wanted."""
        after = {self._under.renamed[key]} if key in self._under.renamed else set()
        spec = self._wanted.containers[key].spec
        fields = live_fields(spec, existing, self._traits) if change.kind in ("update", "start", "restart") else ()
        if not _are_worth_it(spec, existing, fields):
            return after
        action = UpdateContainer(spec.name, existing.id, spec, fields)
        after |= self._under.networks_of(key)
        step = self._steps.add(action, after=after, because=change.because, disruption="live", source=change.source)
        return {step}

    def _restart(self, key: ResourceKey, existing: ObservedContainer, change: Change, after: set[int]) -> set[int]:
        # Order: not before what it depends on is back, so that the gap is short, and there is none if it fails.
        edges = self._edges(key)
        name = self._wanted.containers[key].spec.name
        stop = StopContainer(name, existing.id, grace_of(existing, self._policy))
        stopped = self._steps.add(
            stop,
            after=after | edges.hard | self._ready,
            soft_after=edges.soft,
            because=change.because,
            disruption="restart",
            source=change.source,
        )
        return self._start(key, existing.id, {stopped}, change.because)

    def _replace(self, key: ResourceKey, existing: ObservedContainer, change: Change) -> set[int]:
        if not self._traits.can_rename and not self._under.is_removed(existing):
            self._under.remove(existing, change.because)
        if self._under.is_removed(existing):
            # It goes first: with its network, or because its name is not the one its successor gets.
            after = self._under.under(key) | self._under.freed(existing.name)
            return self._create(key, change.because, after)
        spec = self._wanted.containers[key].spec
        temporary = temporary_name(existing.id, spec.name)
        created = self._steps.add(
            CreateContainer(replace(spec, name=temporary)),
            after=self._under.under(key) | self._under.freed(temporary),
            because=change.because,
            source=change.source,
        )
        because = f"replaced by {created}"
        removed = self._steps.add(
            RemoveContainer(existing.name, existing.id),
            after=self._stop_replaced(key, existing, created, because),
            because=because,
            disruption="replace",
        )
        renamed = self._steps.add(RenameContainer(temporary, spec.name), after={removed}, because="replacement")
        return self._start(key, "", {renamed}, "replacement")

    def _stop_replaced(self, key: ResourceKey, existing: ObservedContainer, created: int, because: str) -> set[int]:
        if existing.state not in RUNNING:
            return {created}
        # Order: not before what the replacement waits for is there, so that the gap is short.
        edges = Edges() if self._policy.no_start else self._edges(key)
        stop = StopContainer(existing.name, existing.id, grace_of(existing, self._policy))
        after = {created} | edges.hard | self._ready
        return {self._steps.add(stop, after=after, soft_after=edges.soft, because=because, disruption="replace")}

    def _start(self, key: ResourceKey, expect_id: str, after: set[int], because: str) -> set[int]:
        if self._policy.no_start:
            return set()
        edges = self._edges(key)
        spec = self._wanted.containers[key].spec
        step = self._steps.add(
            StartContainer(spec.name, expect_id),
            after=after | edges.hard | self._under.vacated(key),
            soft_after=edges.soft,
            because=because,
            source=spec.origin.get(""),
            origin=spec.origin,
        )
        return {step}

    # -- waiting --------------------------------------------------------------------------------------

    def _edges(self, key: ResourceKey) -> Edges:
        """Return what a start must wait for."""
        names = namespace_owners(self._wanted.containers[key].spec)
        shared = frozenset(step for name in names for step in self._gates.started(self._owners.get(name, "")))
        if self._policy.no_deps:
            return Edges(shared)
        edges = self._gates.edges(self._needs(key.name))
        return Edges(edges.hard | shared, edges.soft - shared)

    def _needs(self, service: str) -> tuple[Need, ...]:
        keys = self._keys[service]
        needs: tuple[Dependency, ...]
        needs = self._wanted.containers[keys[0]].needs if keys else ()
        if not keys:
            needs = self._wanted.stack.services[service].depends_on
        return tuple(self._need(service, need) for need in needs if need.service in self._wanted.stack.services)

    def _need(self, service: str, dependency: Dependency) -> Need:
        where = self._wanted.stack.where("services", service, "depends_on", dependency.service)
        origin = self._wanted.common[dependency.service].origin
        return Need(dependency.service, dependency.condition, dependency.required, where, origin)

    def _holds_already(self, service: str, condition: Condition) -> bool:
        return all(
            (existing := self._matched.current.get(key)) is not None and holds(existing, condition)
            for key in self._keys[service]
        )

    def _wait_for_all(self) -> None:
        completed = {
            need.service
            for service in self._wanted.stack.services.values()
            for need in service.depends_on
            if need.condition == "service_completed_successfully"
        }
        for service in self._order:
            if service in self._changes.services:
                condition: Condition = "service_completed_successfully" if service in completed else "service_healthy"
                spec = self._wanted.common[service]
                self._gates.final(Need(service, condition, True, spec.origin.get("health"), origin=spec.origin))


def _are_worth_it(spec: ContainerSpec, existing: ObservedContainer, fields: tuple[str, ...]) -> bool:
    """Whether more than our own labels differ: those are brought up to date when something else is."""
    return bool(fields) and (fields != ("labels",) or bool(label_reasons(spec, existing.spec)))


def holds(container: ObservedContainer, condition: Condition) -> bool:
    """Whether a condition is fulfilled by a container as it was observed."""
    if condition == "service_completed_successfully":
        return container.state == "exited" and container.exit_code == 0
    if condition == "service_healthy":
        return container.state == "running" and container.health in ("healthy", "none")
    return container.state == "running"
