"""A stack called shop on a cluster in memory: written as stack files, planned, applied, looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from stackctl.engines.memory_services import MemoryServiceEngine, TaskBehaviour
from stackctl.labels import SERVICE
from stackctl.model.observed import Observed
from stackctl.model.service import ServiceSpec
from stackctl.reconcile.apply import Report, apply
from stackctl.reconcile.engine import ResourceNames
from stackctl.reconcile.plan import Plan
from stackctl.reconcile.plan_text import plan_text
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.services.desired import DesiredServices, desired_services, service_names
from stackctl.reconcile.services.down import plan_services_down
from stackctl.reconcile.services.up import plan_services_up
from tests.support.shop import Silent
from tests.support.stacks import loaded, stack_of

NAME = "shop"
VERSION = "1.0.0"


class Cluster:
    """``behaviours`` are by service; ``pins`` maps image references to what a registry makes of them."""

    def __init__(self, behaviours: Mapping[str, TaskBehaviour] | None = None) -> None:
        self.behaviours = dict(behaviours or {})
        self.pins: dict[str, str] = {}
        self.engine = MemoryServiceEngine(behaviour_of=self._behaviour)

    def _behaviour(self, spec: ServiceSpec) -> TaskBehaviour:
        service = dict(spec.labels).get(SERVICE, "")
        return self.behaviours.get(f"{service} {spec.image_ref}") or self.behaviours.get(service, TaskBehaviour())

    def desired(self, text: str, **options: Any) -> DesiredServices:
        """Return what a stack file wants; the stack's name is put before it."""
        found = loaded(f"name: {NAME}\n{text}", **options)
        stack = stack_of(found)
        assert found.document is not None
        fingerprints = {}
        for key, value in found.document.contents.items():
            fingerprints[key] = hashlib.sha256(value).hexdigest()
            self.engine.contents[fingerprints[key]] = value
        images = {name: self.pins.get(service.image, service.image) for name, service in stack.services.items()}
        return desired_services(stack, images, fingerprints, self.engine.traits(), version=VERSION)

    def plan(self, text: str, *, options: Mapping[str, Any] | None = None, **policy: Any) -> Plan:
        """Return the plan of ``up`` for a stack file."""
        wanted = self.desired(text, **(options or {}))
        return plan_services_up(wanted, self.engine.snapshot(NAME, service_names(wanted.stack)), Policy(**policy))

    def text(self, text: str, **policy: Any) -> str:
        """Return the text of the plan of ``up``."""
        return plan_text(self.plan(text, **policy))

    def apply(self, plan: Plan) -> Report:
        """Perform a plan."""
        return apply(plan, self.engine, Silent(), lambda: False)

    def up(self, text: str, **policy: Any) -> Plan:
        """Plan and perform; every step must succeed, and nothing is left to do."""
        plan = self.plan(text, **policy)
        report = self.apply(plan)
        assert report.is_ok, [(outcome.step, outcome.error) for outcome in report.failures]
        again = self.plan(text, **{**policy, "recreate": "diverged"})
        waits = [step for step in again.steps if not type(step.action).__name__.startswith("Await")]
        assert waits == [], plan_text(again)
        return plan

    def down(self, **policy: Any) -> Plan:
        """Return the plan of ``down``, performed."""
        plan = plan_services_down(self.look(), Policy(**policy))
        report = self.apply(plan)
        assert report.is_ok, [(outcome.step, outcome.error) for outcome in report.failures]
        return plan

    def look(self) -> Observed:
        """Return what there is of the stack."""
        return self.engine.snapshot(NAME, ResourceNames())

    def services(self) -> dict[str, ServiceSpec]:
        """Return the stack's services by real name."""
        return {service.name: service.spec for service in self.look().services}

    def contents(self) -> list[str]:
        """Return the names of the stack's configs and secrets."""
        return [content.name for content in self.look().contents]


def up_text(before: str, after: str, **policy: Any) -> str:
    """Return the text of the plan from one stack file to another; "" as the first is nothing."""
    cluster = Cluster()
    if before:
        cluster.up(before)
    return cluster.text(after, **policy)
