"""plan_services_up: the plan that makes a stack be as wanted on an engine whose grain is the service. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.fingerprint import fingerprint
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedService
from stackctl.model.service import ServiceSpec
from stackctl.reconcile import graph
from stackctl.reconcile.plan import Change, ChangeKind, Disruption, Plan, PlanBuilder, Reason
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.service_action import CreateService, RemoveService, UpdateService
from stackctl.reconcile.services.desired import DesiredServices
from stackctl.reconcile.services.diff import compare_services
from stackctl.reconcile.services.gates import ServiceGates, ours
from stackctl.reconcile.services.resources import ServiceResources

_PAUSED: Final = ("paused", "rollback_paused")


def plan_services_up(desired: DesiredServices, observed: Observed, policy: Policy) -> Plan:
    """Return the plan that makes the stack be as desired. Raises PlanError.

    It is empty when everything is so already. Nothing without this stack's labels is changed.
    """
    order = graph.service_order(desired.stack)
    return _Planner(desired, observed, policy, _selected(desired, policy)).plan(order)


def _selected(desired: DesiredServices, policy: Policy) -> frozenset[str]:
    stack = desired.stack
    if not policy.services:
        return frozenset(stack.services)
    unknown = [name for name in policy.services if name not in stack.services]
    if unknown:
        raise PlanError(f"no such service: {unknown[0]}", code="no-such-service")
    if policy.no_deps:
        return frozenset(policy.services)
    return frozenset(graph.with_dependencies(graph.edges_of(stack), policy.services))


class _Planner:
    """Collects the steps of one plan."""

    def __init__(self, desired: DesiredServices, observed: Observed, policy: Policy, selected: frozenset[str]) -> None:
        self._desired = desired
        self._observed = observed
        self._policy = policy
        self._there = {service.name: service for service in observed.services}
        self._steps = PlanBuilder()
        self._changes: list[Change] = []
        self._resources = ServiceResources(desired, observed, policy, selected, self._steps)
        self._selected = selected | self._resources.drawn_in
        self._gates = ServiceGates(desired, self._there, policy, self._steps)
        self._freed: dict[tuple[int, str], int] = {}  # published port and protocol -> step

    def plan(self, order: list[str]) -> Plan:
        wanted = [name for name in order if name in self._selected]
        changes = {name: self._change(name) for name in wanted}
        self._remove_orphans()
        for name in wanted:
            if changes[name].kind == "replace" and self._is_made_anew(name):
                self._remove(changes[name])
        self._resources.add()
        for name in wanted:
            self._changes.append(changes[name])
            self._gates.note(name, self._step(name, changes[name]))
        if self._policy.wait:
            for name in wanted:
                self._gates.final(name)
        self._resources.prune({name for name in wanted if changes[name].kind != "keep"})
        return Plan(
            stack=self._observed.stack,
            steps=self._steps.steps(),
            changes=(*self._resources.changes, *self._changes),
            warnings=(*self._resources.warnings, *self._orphan_warnings()),
            base=self._observed.fingerprint,
        )

    # -- deciding ---------------------------------------------------------------------------------------

    def _change(self, name: str) -> Change:
        key = ResourceKey("service", name)
        spec = self._desired.services[key]
        existing = self._there.get(spec.name)
        if existing is None:
            return Change(key, "create", spec.name)
        self._check_ours(name, existing)
        difference = compare_services(spec, existing.spec)
        is_frozen = self._policy.recreate == "never"
        if reasons := self._resources.network_reasons(existing):
            return Change(key, "replace", spec.name, reasons)
        if (difference.anew or difference.rolling) and not is_frozen:
            return Change(key, "replace", spec.name, difference.reasons)
        if option := self._forced_by(name):
            return Change(key, "restart", spec.name, (Reason(f"asked for by {option}"),))
        if existing.update in _PAUSED and not is_frozen:
            why = f": {existing.update_message}" if existing.update_message else ""
            return Change(key, "restart", spec.name, (Reason(f"its last update is paused{why}"),))
        live = bool(difference.live) and not (difference.anew or difference.rolling)
        return Change(key, "update" if live else "keep", spec.name, difference.live if live else ())

    def _forced_by(self, name: str) -> str:
        is_dependency = bool(self._policy.services) and name not in self._policy.services
        if is_dependency:
            return "--always-recreate-deps" if self._policy.recreate_deps else ""
        return "--force-recreate" if self._policy.recreate == "force" else ""

    def _check_ours(self, name: str, existing: ObservedService) -> None:
        if ours(existing, self._observed.stack):
            return
        owner = existing.label(labels.PROJECT)
        whose = f"belongs to stack {owner}" if owner else "was not made by a stack"
        where = self._desired.stack.where("services", name)
        diagnostic = Diagnostic(
            severity="error",
            code="service-not-ours",
            summary="Service exists but is not this stack's",
            detail=f"service {existing.name} {whose}; it is not touched.",
            hint="give the stack another name, or remove that service",
            sources=(where,) if where else (),
        )
        text = f"service {existing.name} exists but is not ours: it {whose}"
        raise PlanError(text, code="service-not-ours", hint=diagnostic.hint, diagnostics=(diagnostic,))

    def _is_made_anew(self, name: str) -> bool:
        spec = self._desired.services[ResourceKey("service", name)]
        existing = self._there[spec.name]
        return existing.spec.mode != spec.mode or bool(self._resources.network_reasons(existing))

    # -- steps ------------------------------------------------------------------------------------------

    def _step(self, name: str, change: Change) -> set[int]:
        """Add the step that makes the service be as wanted; return it."""
        spec = self._desired.services[change.key]
        existing = self._there.get(spec.name)
        if change.kind == "keep" or (existing is None and change.kind != "create"):
            return set()
        edges = self._gates.edges(name)
        after = set(edges.hard) | self._resources.needed_by(spec) | self._ports_after(spec, existing)
        disruptions: dict[ChangeKind, Disruption] = {"update": "live", "replace": "replace", "restart": "replace"}
        action: CreateService | UpdateService
        removed = self._resources.removed.get(spec.name)
        if existing is None or removed is not None:
            action = CreateService(replace(spec, generation=0))
            after |= {removed} if removed is not None else set()
        else:
            action = UpdateService(_updated(spec, existing, change), existing.id, fingerprint(existing.spec))
        step = self._steps.add(
            action,
            after=after,
            soft_after=edges.soft,
            because=change.because or "is missing",
            disruption=disruptions.get(change.kind, "none"),
            source=change.source or spec.origin.get(""),
            origin=spec.origin,
        )
        for port in existing.spec.ports if existing is not None and removed is None else ():
            self._freed.setdefault((port.published, port.protocol), step)
        return {step}

    def _ports_after(self, spec: ServiceSpec, existing: ObservedService | None) -> set[int]:
        """Wait for who gives up a port that this one is to publish; of two who exchange theirs the first one fails."""
        own = {(port.published, port.protocol) for port in existing.spec.ports} if existing is not None else set()
        wanted = {(port.published, port.protocol) for port in spec.ports if port.published} - own
        return {self._freed[port] for port in wanted if port in self._freed}

    def _remove(self, change: Change) -> None:
        existing = self._there[change.name]
        step = self._steps.add(
            RemoveService(existing.name, existing.id),
            because=change.because,
            disruption="replace",
            source=change.source,
        )
        self._resources.removed[existing.name] = step
        for port in existing.spec.ports:
            self._freed[port.published, port.protocol] = step

    # -- what is left over ------------------------------------------------------------------------------

    def _orphans(self) -> list[ObservedService]:
        stack = self._desired.stack
        known = {*stack.services, *stack.disabled_services}
        return [
            service
            for service in self._observed.services
            if ours(service, self._observed.stack) and service.key is not None and service.key.name not in known
        ]

    def _remove_orphans(self) -> None:
        if not self._policy.remove_orphans:
            return
        for service in self._orphans():
            because = "the stack no longer has it"
            action = RemoveService(service.name, service.id)
            step = self._steps.add(action, because=because, disruption="replace")
            self._resources.removed[service.name] = step
            key = service.key or ResourceKey("service", service.name)
            self._changes.append(Change(key, "remove", service.name, (Reason(because),)))
            for port in service.spec.ports:
                self._freed[port.published, port.protocol] = step

    def _orphan_warnings(self) -> tuple[Diagnostic, ...]:
        names = sorted(service.name for service in self._orphans())
        if not names or self._policy.remove_orphans:
            return ()
        return (
            Diagnostic(
                severity="warning",
                code="orphans",
                summary="Services of the stack are no longer in its file",
                detail=f"{', '.join(names)} {'runs' if len(names) == 1 else 'run'} on.",
                hint="add --remove-orphans to have them removed",
            ),
        )


def _updated(spec: ServiceSpec, existing: ObservedService, change: Change) -> ServiceSpec:
    generation = existing.spec.generation + (change.kind == "restart")
    return replace(spec, generation=generation)
