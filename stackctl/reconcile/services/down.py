"""plan_services_down: the plan that removes a stack. It needs no stack file. Pure."""

from __future__ import annotations

from stackctl import labels
from stackctl.errors import PlanError
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedService
from stackctl.reconcile import graph
from stackctl.reconcile.action import RemoveNetwork, RemoveVolume
from stackctl.reconcile.plan import Change, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.service_action import RemoveContent, RemoveService
from stackctl.reconcile.services.gates import ours

_ASKED = "asked for"


def plan_services_down(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that removes services, dependents first, then networks, configs and secrets, with
    ``remove_volumes`` volumes too.

    With services named only those go. What is external stays.
    """
    own = {_service(service): service for service in observed.services if ours(service, observed.stack)}
    unknown = [name for name in policy.services if name not in own]
    if unknown:
        hint = "`stackctl up` makes it"
        raise PlanError(f"service {unknown[0]} does not exist", code="no-such-service", hint=hint)
    steps, changes = PlanBuilder(), []
    removed: dict[str, int] = {}
    edges = {name: _needs(service, own) for name, service in own.items()}
    # Labels of different ages may contradict each other; then any order is as good as another.
    order = sorted(edges) if graph.find_cycle(edges) else graph.dependency_order(edges)
    for name in reversed(order):
        if policy.services and name not in policy.services:
            continue
        service = own[name]
        before = {removed[user] for user, needs in edges.items() if name in needs and user in removed}
        action = RemoveService(service.name, service.id)
        removed[name] = steps.add(action, soft_after=before, because=_ASKED, disruption="replace")
        changes.append(Change(service.key or ResourceKey("service", name), "remove", service.name))
    if not policy.services:
        changes += _rest(observed, policy, steps, {own[name].name: step for name, step in removed.items()})
    return Plan(observed.stack, steps.steps(), tuple(changes), base=observed.fingerprint)


def _rest(observed: Observed, policy: Policy, steps: PlanBuilder, removed: dict[str, int]) -> list[Change]:
    changes = []
    everything = set(removed.values())
    for network in observed.networks:
        if dict(network.labels).get(labels.PROJECT) == observed.stack:
            users = {step for name, step in removed.items() if name in network.containers}
            steps.add(RemoveNetwork(network.name, network.id), after=users, because=_ASKED)
            key = network.key or ResourceKey("network", network.name)
            changes.append(Change(key, "remove", network.name))
    for content in observed.contents:
        marks = dict(content.labels)
        if marks.get(labels.PROJECT) == observed.stack:
            steps.add(RemoveContent(content.kind, content.name, content.id), after=everything, because=_ASKED)
            key = ResourceKey(content.kind, marks.get(labels.CONTENT, content.name))
            changes.append(Change(key, "remove", content.name))
    for volume in observed.volumes if policy.remove_volumes else ():
        if dict(volume.labels).get(labels.PROJECT) == observed.stack:
            steps.add(RemoveVolume(volume.name), after=everything, because=_ASKED, disruption="destroys data")
            changes.append(Change(volume.key or ResourceKey("volume", volume.name), "remove", volume.name))
    return changes


def _service(service: ObservedService) -> str:
    return service.key.name if service.key is not None else service.name


def _needs(service: ObservedService, known: dict[str, ObservedService]) -> list[str]:
    entries = (entry.partition(":")[0] for entry in service.label(labels.DEPENDS_ON).split(","))
    return [name for name in entries if name in known and name != _service(service)]
