"""The networks, configs and secrets that services stand on. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedNetwork, ObservedService
from stackctl.model.service import ServiceSpec
from stackctl.reconcile import ownership
from stackctl.reconcile.action import CreateNetwork, RemoveNetwork
from stackctl.reconcile.plan import Change, PlanBuilder, Reason
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.service_action import CreateContent, RemoveContent
from stackctl.reconcile.services.desired import DesiredServices
from stackctl.reconcile.services.diff import compare_overlays
from stackctl.reconcile.services.gates import ours


class ServiceResources:
    """Decides about networks, configs and secrets, and adds their steps.

    ``removed`` has the steps that remove services, by real name; ``drawn_in`` the services that are made anew with a
    network. Raises PlanError for what may not be touched.
    """

    def __init__(
        self,
        desired: DesiredServices,
        observed: Observed,
        policy: Policy,
        selected: frozenset[str],
        steps: PlanBuilder,
    ) -> None:
        self._desired = desired
        self._observed = observed
        self._policy = policy
        self._steps = steps
        self._made: dict[tuple[str, str], int] = {}  # (kind, real name) -> step
        self.removed: dict[str, int] = {}
        self.changes: list[Change] = []
        self.warnings: list[Diagnostic] = []
        self._networks = self._network_changes(self._used_networks(selected))
        replaced = {change.name for change in self._networks if change.kind == "replace"}
        self._replaced = replaced
        self.drawn_in = frozenset(
            key.name
            for key, spec in desired.services.items()
            if replaced.intersection(at.network for at in spec.networks)
        )
        self._selected = selected | self.drawn_in

    def network_reasons(self, existing: ObservedService) -> tuple[Reason, ...]:
        """Say which networks the service is on are replaced: it is in their way until it is gone."""
        names = sorted(self._replaced.intersection(at.network for at in existing.spec.networks))
        return tuple(Reason(f"network {name} is replaced") for name in names)

    def needed_by(self, spec: ServiceSpec) -> set[int]:
        """Return the steps that make what the service stands on."""
        used = [("network", at.network) for at in spec.networks] + [(use.kind, use.name) for use in spec.contents]
        return {self._made[name] for name in used if name in self._made}

    def add(self) -> None:
        """Add the steps that make what is missing."""
        for change in self._networks:
            spec = self._desired.networks[change.key]
            after: set[int] = set()
            if change.kind == "replace":
                after = {self._remove_network(change)}
            if change.kind in ("create", "replace"):
                self.changes.append(change)
                because = change.because or "is missing"
                source = change.source or self._desired.stack.positions.get(("networks", change.key.name))
                step = self._steps.add(CreateNetwork(spec), after=after, because=because, source=source)
                self._made["network", spec.name] = step
        self._add_contents()

    def prune(self, changed: set[str]) -> None:
        """Remove configs and secrets that neither what a service will be nor what it was before uses any more.

        What it was is kept: the engine itself may go back to it.
        """
        kept: set[tuple[str, str]] = set()
        for service in self._observed.services:
            name = service.key.name if service.key is not None else ""
            if service.name not in self.removed:
                kept |= {(use.kind, use.name) for use in service.spec.contents}
                if not (ours(service, self._observed.stack) and name in changed):
                    kept |= set(service.previous_contents)
        for key, spec in self._desired.services.items():
            if key.name in self._selected:
                kept |= {(use.kind, use.name) for use in spec.contents}
        changing = [step.number for step in self._steps.steps()]
        for content in self._observed.contents:
            is_ours = dict(content.labels).get(labels.PROJECT) == self._observed.stack
            if is_ours and (content.kind, content.name) not in kept:
                because = "nothing uses it any more"
                action = RemoveContent(content.kind, content.name, content.id)
                self._steps.add(action, after=changing, because=because)
                key = ResourceKey(content.kind, dict(content.labels).get(labels.CONTENT, content.name))
                self.changes.append(Change(key, "remove", content.name, (Reason(because),)))

    # -- networks ---------------------------------------------------------------------------------------

    def _used_networks(self, selected: Iterable[str]) -> set[str]:
        return {at.network for name in selected for at in self._desired.services[ResourceKey("service", name)].networks}

    def _network_changes(self, used: set[str]) -> list[Change]:
        there = {network.name: network for network in self._observed.networks}
        stack = self._desired.stack
        found = []
        for key, spec in sorted(self._desired.networks.items()):
            existing = there.get(spec.name)
            if spec.is_external:
                if existing is None:
                    raise ownership.missing_external(stack, "network", key.name, spec.name)
                continue
            if spec.name not in used:
                continue
            if existing is None:
                found.append(Change(key, "create", spec.name))
                continue
            ownership.check_network_is_ours(stack, key.name, spec.name, existing.labels)
            found.append(self._network_change(key, existing))
        return found

    def _network_change(self, key: ResourceKey, existing: ObservedNetwork) -> Change:
        stack, spec = self._desired.stack, self._desired.networks[key]
        where = stack.where("networks", key.name)
        differences = compare_overlays(spec, existing.spec) if existing.spec is not None else []
        if not differences:
            return Change(key, "keep", spec.name)
        if self._policy.recreate == "never":
            self.warnings.append(
                Diagnostic(
                    severity="warning",
                    code="network-differs",
                    summary="Network keeps its old definition",
                    detail=f"the definition of network {spec.name} changed, but nothing may be made anew.",
                    hint="leave out --no-recreate to have it replaced, with the services on it",
                    sources=(where,) if where else (),
                )
            )
            return Change(key, "keep", spec.name)
        known = {service.name for service in self._desired.services.values()}
        others = [name for name in existing.containers if name not in known]
        if others:
            raise ownership.network_blocked(stack, key.name, spec.name, others)
        reasons = tuple(Reason(name, before, after, where) for name, before, after in differences)
        return Change(key, "replace", spec.name, reasons)

    def _remove_network(self, change: Change) -> int:
        existing = next(network for network in self._observed.networks if network.name == change.name)
        users = {
            service.name
            for service in self._observed.services
            if any(at.network == change.name for at in service.spec.networks)
        }
        return self._steps.add(
            RemoveNetwork(change.name, existing.id),
            after={step for name, step in self.removed.items() if name in users},
            because=change.because,
            disruption="replace",
            source=change.source,
        )

    # -- configs and secrets ----------------------------------------------------------------------------

    def _add_contents(self) -> None:
        there = {(content.kind, content.name) for content in self._observed.contents}
        used = {
            (use.kind, use.name)
            for name in self._selected
            for use in self._desired.services[ResourceKey("service", name)].contents
        }
        for key, spec in sorted(self._desired.contents.items()):
            name = (spec.kind, spec.name)
            if name not in used or name in there:
                continue
            stack = self._desired.stack
            if spec.is_external:
                raise ownership.missing_external(stack, spec.kind, key.name, spec.name)
            source = stack.where(f"{spec.kind}s", key.name)
            self._made[name] = self._steps.add(CreateContent(spec), because="is missing", source=source)
            self.changes.append(Change(key, "create", spec.name))
