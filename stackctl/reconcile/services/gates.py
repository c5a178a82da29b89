"""What a service's step waits for: those it depends on, and what is to be true of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackctl import labels
from stackctl.model.key import ResourceKey
from stackctl.model.observed import ObservedService
from stackctl.model.service import ServiceSpec
from stackctl.model.stack import Condition, Dependency
from stackctl.reconcile.gates import Edges
from stackctl.reconcile.plan import PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.service_action import AwaitService
from stackctl.reconcile.services.desired import DesiredServices

PROGRESS_S: Final = 300.0
"""How long a wait goes on without a further task that is as it should be."""


def ours(service: ObservedService, stack: str) -> bool:
    """Whether the service carries the stack's label."""
    return service.label(labels.PROJECT) == stack


def holds(service: ObservedService, condition: Condition) -> bool:
    """Whether a condition is fulfilled by a service as it was observed."""
    if condition == "service_completed_successfully":
        return service.completed >= max(1, service.wanted)
    return service.update in ("", "completed", "rollback_completed") and service.running >= service.wanted


class ServiceGates:
    """Knows which step changes a service, and adds the awaits for its conditions, one for each."""

    def __init__(
        self, desired: DesiredServices, there: Mapping[str, ObservedService], policy: Policy, steps: PlanBuilder
    ) -> None:
        self._desired = desired
        self._there = there
        self._policy = policy
        self._steps = steps
        self._changed: dict[str, frozenset[int]] = {}
        self._awaits: dict[tuple[str, Condition], int] = {}

    def note(self, service: str, steps: set[int]) -> None:
        """These steps change the service; none when it is as wanted."""
        self._changed[service] = frozenset(steps)

    def edges(self, service: str) -> Edges:
        """Return what the step of a service has to wait for; adds awaits."""
        if self._policy.no_deps:
            return Edges()
        hard: set[int] = set()
        soft: set[int] = set()
        for need in self._desired.stack.services[service].depends_on:
            if need.service in self._desired.stack.services:
                (hard if need.required else soft).update(self._gate(service, need))
        return Edges(frozenset(hard), frozenset(soft - hard))

    def final(self, service: str) -> None:
        """Have the plan end only when the service is as wanted."""
        self._await(service, self._final_condition(service), "asked for by --wait", is_required=True)

    def _final_condition(self, service: str) -> Condition:
        is_awaited = any(
            need.service == service and need.condition == "service_completed_successfully"
            for other in self._desired.stack.services.values()
            for need in other.depends_on
        )
        done = is_awaited or self._spec(service).is_job
        return "service_completed_successfully" if done else "service_healthy"

    def _gate(self, service: str, need: Dependency) -> frozenset[int]:
        if need.condition == "service_started":
            return self._changed.get(need.service, frozenset())
        because = f"others wait for {need.service}"
        return self._await(need.service, need.condition, because, is_required=need.required, asking=service)

    def _await(
        self, service: str, condition: Condition, because: str, *, is_required: bool, asking: str = ""
    ) -> frozenset[int]:
        known = self._awaits.get((service, condition))
        if known is not None:
            if is_required:
                self._steps.require(known)
            return frozenset({known})
        spec = self._spec(service)
        changed = self._changed.get(service, frozenset())
        existing = self._there.get(spec.name)
        if not changed and existing is not None and holds(existing, condition):
            return frozenset()
        stack = self._desired.stack
        source = stack.where("services", asking, "depends_on", service) if asking else spec.origin.get("health")
        step = self._steps.add(
            AwaitService(spec.name, condition, self._timeout_s(condition), self._rollback(spec, existing)),
            after=changed,
            because=because,
            source=source or spec.origin.get(""),
            origin=spec.origin,
            is_optional=not is_required,
        )
        self._awaits[service, condition] = step
        return frozenset({step})

    def _spec(self, service: str) -> ServiceSpec:
        return self._desired.services[ResourceKey("service", service)]

    def _timeout_s(self, condition: Condition) -> float:
        asked = self._policy.wait_timeout_s if self._policy.wait else 0.0
        return asked or (0.0 if condition == "service_completed_successfully" else PROGRESS_S)

    def _rollback(self, spec: ServiceSpec, existing: ObservedService | None) -> ServiceSpec | None:
        """Return what to send again when the change fails: what it was, if that was well."""
        is_asked = spec.update.failure_action == "rollback" and not spec.is_job
        if not is_asked or existing is None or existing.spec.mode != spec.mode:
            return None
        return existing.spec if holds(existing, "service_healthy") else None
