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
    CreateContainer,
    SwitchTraffic,
    UpdateContainer,
)
from stackctl.reconcile.changes import Changes, find_changes
from stackctl.reconcile.claims import Holders
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.diff import label_reasons
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.gates import Edges, Gates, Need
from stackctl.reconcile.live import live_fields
from stackctl.reconcile.match import RUNNING, Matched, match
from stackctl.reconcile.plan import Change, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.resource_steps import ResourceSteps
from stackctl.reconcile.rollout import Rollout, rollout_of
from stackctl.reconcile.rollout_steps import Ground, ServiceRollout

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
        self._holders = Holders(observed.containers)
        self._warnings: list[Diagnostic] = []
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
            warnings=(*self._changes.warnings, *self._warnings, *self._orphan_warnings()),
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
        rollout = self._rollout(service)
        for key in self._keys[service]:
            change = self._changes.containers[key]
            if self._policy.no_start and change.kind in ("start", "restart"):
                continue
            is_beside = change.kind == "replace" and rollout.rollout.order == "start-first"
            changed.append(replace(change, how="start-first") if is_beside else change)
            rollout.enter(key)
            started |= self._container(key, change, rollout)
        named = rollout.finish()
        self._gates.note_started(service, named | started)
        self._warnings += rollout.rollout.warnings
        return changed

    def _rollout(self, service: str) -> ServiceRollout:
        """Return how the service's containers that must make way do so."""
        keys = [key for key in self._keys[service] if self._changes.containers[key].kind in _INTERRUPTING]
        pairs = [(key, self._matched.current[key]) for key in keys]
        replaced = [pair for pair in pairs if self._changes.containers[pair[0]].kind == "replace"]
        rollout = rollout_of(self._wanted, service, replaced, self._holders, self._traits) if keys else Rollout()
        ground = Ground(self._steps, self._under, self._wanted, self._policy, self._traits, self._edges)
        return ServiceRollout(ground, rollout, keys)

    def _container(self, key: ResourceKey, change: Change, rollout: ServiceRollout) -> set[int]:
        """Add what the change needs; return the step that starts the container, if one does."""
        existing = self._matched.current.get(key)
        if change.kind == "create":
            return self._create(key, "is missing", self._under.under(key), rollout)
        if existing is None or change.kind == "keep":
            return set()
        if change.kind == "replace":
            return self._replace(key, existing, change, rollout)
        updated = self._update(key, existing, change)
        if change.kind == "start":
            return rollout.start(key, existing.id, updated, change.because)
        if change.kind == "restart":
            return rollout.restart(key, existing, change, updated)
        return set()

    def _create(self, key: ResourceKey, because: str, after: set[int], rollout: ServiceRollout) -> set[int]:
        spec = self._wanted.containers[key].spec
        created = self._steps.add(CreateContainer(spec), after=after, because=because, source=spec.origin.get(""))
        return rollout.start(key, "", {created}, because)

    def _update(self, key: ResourceKey, existing: ObservedContainer, change: Change) -> set[int]:
        """Change what can be changed in place; return the steps after which the container is as wanted."""
        after = {self._under.renamed[key]} if key in self._under.renamed else set()
        if existing.is_standby and existing.state in RUNNING:
            action = SwitchTraffic(self._wanted.containers[key].spec.name, "", "", existing.id)
            because = "has no traffic: an update was interrupted"
            after = {self._steps.add(action, after=after, because=because, disruption="live")}
        spec = self._wanted.containers[key].spec
        fields = live_fields(spec, existing, self._traits) if change.kind in ("update", "start", "restart") else ()
        if not _are_worth_it(spec, existing, fields):
            return after
        update = UpdateContainer(spec.name, existing.id, spec, fields)
        after |= self._under.networks_of(key)
        step = self._steps.add(update, after=after, because=change.because, disruption="live", source=change.source)
        return {step}

    def _replace(
        self, key: ResourceKey, existing: ObservedContainer, change: Change, rollout: ServiceRollout
    ) -> set[int]:
        if not self._traits.can_rename and not self._under.is_removed(existing):
            self._under.remove(existing, change.because)
        if self._under.is_removed(existing):
            # It goes first: with its network, or because its name is not the one its successor gets.
            after = self._under.under(key) | self._under.freed(existing.name)
            return self._create(key, change.because, after, rollout)
        return rollout.replace(key, existing, change)

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
