"""The services of a stack as the labels of its containers tell them: no stack file is needed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackctl import labels
from stackctl.errors import PlanError
from stackctl.model.container import namespace_owners
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Condition
from stackctl.reconcile import graph
from stackctl.reconcile.match import is_ours, ranked
from stackctl.reconcile.policy import Policy


@dataclass(frozen=True, slots=True)
class LabelledNeed:
    """An entry of the depends_on label."""

    service: str
    condition: Condition
    restart: bool


class LabelledServices:
    """Containers by service, and who depends on whom.

    ``order`` has every service after those it depends on; ``selected`` are those that were asked for.
    """

    def __init__(self, observed: Observed, policy: Policy, *, with_needs: bool = False) -> None:
        ours = [container for container in observed.containers if is_ours(container, observed.stack)]
        claims: dict[ResourceKey, list[ObservedContainer]] = {}
        for container in ours:
            if container.key is not None and not container.is_oneoff:
                claims.setdefault(container.key, []).append(container)
        self.all: dict[str, list[ObservedContainer]] = {}
        self.current: dict[str, list[ObservedContainer]] = {}
        for key, claimants in sorted(claims.items()):
            best, *rest = ranked(claimants, "")
            self.all.setdefault(key.name, []).extend([best, *rest])
            self.current.setdefault(key.name, []).append(best)
        self.oneoffs = sorted((c for c in ours if c.is_oneoff), key=lambda container: container.name)
        self.needs = {name: _needs(containers) for name, containers in self.current.items()}
        self._edges = {
            name: [need.service for need in needs if need.service in self.all and need.service != name]
            for name, needs in self.needs.items()
        }
        # Labels of different ages may contradict each other; then any order is as good as another.
        is_circular = bool(graph.find_cycle(self._edges))
        self.order = sorted(self._edges) if is_circular else graph.dependency_order(self._edges)
        self.dependents: dict[str, list[str]] = {name: [] for name in self.order}
        for at, name in enumerate(self.order):
            for need in self._edges[name]:
                if need in self.order[:at]:
                    self.dependents[need].append(name)
        self.selected = self._select(policy, with_needs=with_needs)

    def _select(self, policy: Policy, *, with_needs: bool) -> set[str]:
        known = {*self.all, *(container.label(labels.SERVICE) for container in self.oneoffs)}
        unknown = [name for name in policy.services if name not in known]
        if unknown:
            raise PlanError(
                f"service {unknown[0]} has no containers",
                code="no-such-service",
                hint="`stackctl up` makes them",
            )
        if not policy.services:
            return set(self.all)
        chosen = {name for name in policy.services if name in self.all}
        return graph.with_dependencies(self._edges, chosen) if with_needs and not policy.no_deps else chosen

    def is_awaited_to_complete(self, service: str) -> bool:
        """Whether somebody waits for the service to exit with success."""
        return any(
            need.service == service and need.condition == "service_completed_successfully"
            for needs in self.needs.values()
            for need in needs
        )

    def shares_namespace(self, service: str) -> bool:
        """Whether the service runs in a namespace of another."""
        return any(
            container.spec is not None and bool(namespace_owners(container.spec)) for container in self.current[service]
        )


def _needs(containers: Sequence[ObservedContainer]) -> tuple[LabelledNeed, ...]:
    """Return what the label says, and a shared network."""
    found: dict[str, LabelledNeed] = {}
    for container in containers:
        for entry in container.label(labels.DEPENDS_ON).split(","):
            service, _, rest = entry.partition(":")
            text, _, restart = rest.partition(":")
            if service:
                found[service] = LabelledNeed(service, _condition(text), restart == "true")
    return tuple(found[service] for service in sorted(found))


def _condition(text: str) -> Condition:
    if text == "service_healthy":
        return "service_healthy"
    if text == "service_completed_successfully":
        return "service_completed_successfully"
    return "service_started"
