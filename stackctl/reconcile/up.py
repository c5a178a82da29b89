"""plan_up: from changes to steps in an order that keeps everybody's conditions. Pure."""

from __future__ import annotations

from dataclasses import replace

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import PlanError
from stackctl.model.container import ContainerSpec, JoinNetworks, ShareNetwork, VolumeMount
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Condition
from stackctl.reconcile import graph
from stackctl.reconcile.action import (
    AwaitCondition,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from stackctl.reconcile.changes import Changes, find_changes
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.match import Matched, match
from stackctl.reconcile.plan import Change, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy

_TEMPORARY_DIGITS = 12


def plan_up(desired: Desired, observed: Observed, policy: Policy, traits: Traits) -> Plan:
    """Return the plan that makes the stack be as desired. Raises PlanError.

    It is empty when everything is so already. Nothing without this stack's labels is changed.
    """
    graph.check_cycles(desired.stack)
    selected = _selected(desired, policy)
    matched = match(desired, observed)
    changes = find_changes(desired, observed, matched, policy, traits, selected)
    return _UpPlanner(desired, observed, matched, changes, policy, selected).plan()


def plan_dependencies(
    desired: Desired, observed: Observed, service: str, policy: Policy, traits: Traits
) -> Plan:
    """Return the plan that makes what a one-off of ``service`` needs: its networks, volumes and dependencies."""
    graph.check_cycles(desired.stack)
    edges = {name: graph.needs_of(desired.stack, name) for name in desired.stack.services}
    needs = set() if policy.no_deps else graph.with_dependencies(edges, [service]) - {service}
    selected = frozenset(needs)
    matched = match(desired, observed)
    changes = find_changes(desired, observed, matched, policy, traits, selected)
    planner = _UpPlanner(desired, observed, matched, changes, policy, selected, resources_for=service)
    return planner.plan(last_gates_of=service)


def _selected(desired: Desired, policy: Policy) -> frozenset[str]:
    stack = desired.stack
    if not policy.services:
        return frozenset(stack.services)
    unknown = [name for name in policy.services if name not in stack.services]
    if unknown:
        raise PlanError(f"no such service: {unknown[0]}", code="no-such-service")
    if policy.no_deps:
        return frozenset(policy.services)
    edges = {name: graph.needs_of(stack, name) for name in stack.services}
    return frozenset(graph.with_dependencies(edges, policy.services))


class _UpPlanner:
    """Collects the steps of one plan."""

    def __init__(
        self,
        desired: Desired,
        observed: Observed,
        matched: Matched,
        changes: Changes,
        policy: Policy,
        selected: frozenset[str],
        resources_for: str = "",
    ) -> None:
        self._users = selected | {resources_for}
        self._desired = desired
        self._observed = observed
        self._matched = matched
        self._changes = changes
        self._policy = policy
        self._selected = selected
        self._steps = PlanBuilder()
        self._removed: dict[str, int] = {}  # name that becomes free -> step after which it is
        self._detached: dict[str, set[int]] = {}  # network to be replaced -> steps after which nobody is on it
        self._made: dict[str, set[int]] = {}  # network or volume -> step that makes it
        self._started: dict[str, set[int]] = {}  # service -> steps that start its replicas
        self._awaits: dict[tuple[str, Condition], int] = {}
        self._changed: list[Change] = []

    def plan(self, *, last_gates_of: str = "") -> Plan:
        """Return the whole plan; with ``last_gates_of`` it also waits for what that service would wait for."""
        stack = self._desired.stack
        self._remove_superfluous()
        self._networks_and_volumes()
        edges = {name: graph.needs_of(stack, name) for name in stack.services}
        order = graph.dependency_order(edges) if len(edges) > 1 else list(edges)
        for service in order:
            if service in self._selected:
                self._service(service)
        for key in [key for key in self._desired.containers if key.name == last_gates_of][:1]:
            self._gates(key)
        if self._policy.wait and not self._policy.no_start:
            self._final_waits(order)
        return Plan(
            stack=stack.name,
            steps=self._steps.steps(),
            changes=tuple(self._changed),
            warnings=(*self._changes.warnings, *self._orphan_warnings()),
            base=self._observed.fingerprint,
        )

    # -- what goes ------------------------------------------------------------------------------------

    def _remove_superfluous(self) -> None:
        for container in self._matched.surplus:
            self._remove(container, "left over from an interrupted replacement")
        for container in self._matched.scaled_down:
            if container.key is not None and container.key.name in self._selected:
                self._remove(container, "scaled down")
        if self._policy.remove_orphans:
            for container in self._matched.orphans:
                self._remove(container, "its service is no longer in the stack")

    def _remove(self, container: ObservedContainer, because: str) -> None:
        key = container.key or ResourceKey("container", container.name)
        self._changed.append(Change(key, "remove", container.name))
        after: set[int] = set()
        if container.state in ("running", "restarting", "paused"):
            stop = StopContainer(container.name, container.id, self._grace(container))
            after = {self._steps.add(stop, because=because, disruption="restart")}
        removed = self._steps.add(
            RemoveContainer(container.name, container.id), after=after, because=because, disruption="replace"
        )
        self._removed[container.name] = removed
        self._note_detached(container, removed)

    def _note_detached(self, container: ObservedContainer, step: int) -> None:
        if container.spec is not None:
            for name in _networks(container.spec):
                self._detached.setdefault(name, set()).add(step)

    def _grace(self, container: ObservedContainer) -> float:
        if self._policy.grace_s is not None:
            return self._policy.grace_s
        return container.spec.stop_grace_s if container.spec is not None else 10.0

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

    # -- networks and volumes -------------------------------------------------------------------------

    def _networks_and_volumes(self) -> None:
        used_networks, used_volumes = self._used_names()
        for key, change in sorted(self._changes.networks.items()):
            spec = self._desired.networks[key]
            if spec.name not in used_networks:
                continue
            if change.kind == "create":
                self._made[f"network/{spec.name}"] = {self._steps.add(CreateNetwork(spec), because="is missing")}
            elif change.kind == "replace":
                self._replace_network(key, change)
            if change.kind != "keep":
                self._changed.append(change)
        for key, change in sorted(self._changes.volumes.items()):
            volume = self._desired.volumes[key]
            if change.kind == "create" and volume.name in used_volumes:
                step = self._steps.add(CreateVolume(volume), because="is missing")
                self._made[f"volume/{volume.name}"] = {step}
                self._changed.append(change)

    def _used_names(self) -> tuple[set[str], set[str]]:
        networks: set[str] = set()
        volumes: set[str] = set()
        for key, container in self._desired.containers.items():
            if key.name in self._users:
                networks |= set(_networks(container.spec))
                volumes |= {m.volume for m in container.spec.mounts if isinstance(m, VolumeMount)}
        return networks, volumes

    def _replace_network(self, key: ResourceKey, change: Change) -> None:
        spec = self._desired.networks[key]
        existing = next(network for network in self._observed.networks if network.name == spec.name)
        known = {container.name for container in self._observed.containers}
        foreign = [name for name in existing.containers if name not in known]
        if foreign:
            raise PlanError(
                f"network {spec.name} must be replaced, but containers of others are on it: {', '.join(foreign)}",
                code="network-in-use",
                hint="remove or disconnect them first; nothing was changed",
            )
        # State: every container of ours on it is replaced too; they have to be gone before it can go.
        for container in self._observed.containers:
            if container.name in existing.containers and container.name not in self._removed:
                self._remove_before_replacing(container, spec.name)
        because = "; ".join(str(reason) for reason in change.reasons)
        removed = self._steps.add(
            RemoveNetwork(spec.name, existing.id),
            after=self._detached.get(spec.name, set()),
            because=because,
            disruption="replace",
        )
        made = self._steps.add(CreateNetwork(spec), after={removed}, because=because)
        self._made[f"network/{spec.name}"] = {made}

    def _remove_before_replacing(self, container: ObservedContainer, network: str) -> None:
        because = f"network {network} is replaced"
        after: set[int] = set()
        if container.state in ("running", "restarting", "paused"):
            stop = StopContainer(container.name, container.id, self._grace(container))
            after = {self._steps.add(stop, because=because, disruption="replace")}
        action = RemoveContainer(container.name, container.id)
        removed = self._steps.add(action, after=after, because=because, disruption="replace")
        self._removed[container.name] = removed
        self._note_detached(container, removed)

    # -- containers -----------------------------------------------------------------------------------

    def _service(self, service: str) -> None:
        started: set[int] = set()
        for key in sorted(key for key in self._desired.containers if key.name == service):
            change = self._changes.containers[key]
            if change.kind != "keep":
                self._changed.append(change)
            step = self._container(key, change)
            if step:
                started.add(step)
        self._started[service] = started

    def _container(self, key: ResourceKey, change: Change) -> int:
        """Add what the change needs; return the step that starts the container, 0 for none."""
        spec = self._desired.containers[key].spec
        existing = self._matched.current.get(key)
        because = "; ".join(str(reason) for reason in change.reasons)
        match change.kind:
            case "create":
                created = self._steps.add(
                    CreateContainer(spec), after=self._before_create(spec), because="is missing", source=_line(spec)
                )
                return self._start(key, spec.name, "", {created}, "is missing")
            case "replace" if existing is not None:
                return self._replace(key, spec, existing, because, change)
            case "start" if existing is not None:
                renamed = self._rename_back(spec, existing)
                return self._start(key, spec.name, existing.id, renamed, because)
            case "restart" if existing is not None:
                stop = StopContainer(existing.name, existing.id, self._grace(existing))
                stopped = self._steps.add(
                    stop, after=self._gates(key)[0], because=because, disruption="restart", source=_place(change)
                )
                return self._start(key, spec.name, existing.id, {stopped}, because)
            case "update" | "keep" if existing is not None:
                self._rename_back(spec, existing)
                if change.kind == "update":
                    action = UpdateContainer(spec.name, existing.id, spec.limits, spec.restart)
                    self._steps.add(action, because=because, disruption="live", source=_place(change))
        return 0

    def _rename_back(self, spec: ContainerSpec, existing: ObservedContainer) -> set[int]:
        if existing.name == spec.name:
            return set()
        after = {self._removed[spec.name]} if spec.name in self._removed else set()
        action = RenameContainer(existing.name, spec.name)
        return {self._steps.add(action, after=after, because="left over from an interrupted replacement")}

    def _before_create(self, spec: ContainerSpec) -> set[int]:
        after: set[int] = set()
        for name in _networks(spec):
            after |= self._made.get(f"network/{name}", set())
        for mount in spec.mounts:
            if isinstance(mount, VolumeMount):
                after |= self._made.get(f"volume/{mount.volume}", set())
        if spec.name in self._removed:
            after.add(self._removed[spec.name])
        return after

    def _replace(
        self, key: ResourceKey, spec: ContainerSpec, existing: ObservedContainer, because: str, change: Change
    ) -> int:
        where = _place(change)
        if existing.name in self._removed or existing.name != spec.name:
            # It goes first: with its network, or because it only has a temporary name.
            if existing.name not in self._removed:
                self._remove(existing, because)
            after = self._before_create(spec) | {self._removed[existing.name]}
            created = self._steps.add(CreateContainer(spec), after=after, because=because, source=where)
            return self._start(key, spec.name, "", {created}, because)
        temporary = f"{existing.id[:_TEMPORARY_DIGITS]}_{spec.name}"
        after = self._before_create(spec)
        if temporary in self._removed:
            after.add(self._removed[temporary])
        created = self._steps.add(
            CreateContainer(replace(spec, name=temporary)), after=after, because=because, source=where
        )
        hard, soft = self._gates(key)
        going = {created} | hard
        if existing.state in ("running", "restarting", "paused"):
            # Order: not before what the replacement waits for is there, so that the gap is short.
            stop = StopContainer(existing.name, existing.id, self._grace(existing))
            going = {
                self._steps.add(
                    stop, after=going, soft_after=soft, because=f"replaced by {created}", disruption="replace"
                )
            }
        removed = self._steps.add(
            RemoveContainer(existing.name, existing.id), after=going, because=f"replaced by {created}"
        )
        renamed = self._steps.add(RenameContainer(temporary, spec.name), after={removed}, because="replacement")
        return self._start(key, spec.name, "", {renamed}, because)

    def _start(self, key: ResourceKey, name: str, expect_id: str, after: set[int], because: str) -> int:
        if self._policy.no_start:
            return 0
        hard, soft = self._gates(key)
        hard |= self._shared_network(key)
        origin = self._desired.containers[key].spec.origin
        action = StartContainer(name, expect_id)
        return self._steps.add(action, after=after | hard, soft_after=soft, because=because, origin=origin)

    def _shared_network(self, key: ResourceKey) -> set[int]:
        networking = self._desired.containers[key].spec.networking
        if not isinstance(networking, ShareNetwork):
            return set()
        owners = [k for k, c in self._desired.containers.items() if c.spec.name == networking.container]
        return set().union(*(self._started.get(owner.name, set()) for owner in owners)) if owners else set()

    def _gates(self, key: ResourceKey) -> tuple[set[int], set[int]]:
        """Return the steps a start must wait for: until they succeed, and until they have ended."""
        hard: set[int] = set()
        soft: set[int] = set()
        if self._policy.no_deps:
            return hard, soft
        for need in self._desired.containers[key].needs:
            if need.service not in self._desired.stack.services:
                continue
            gate = self._gate(need.service, need.condition)
            (hard if need.required else soft).update(gate)
        return hard, soft

    def _gate(self, service: str, condition: Condition) -> set[int]:
        started = self._started.get(service, set())
        if condition == "service_started":
            return started
        known = self._awaits.get((service, condition))
        if known is not None:
            return {known}
        keys = sorted(key for key in self._desired.containers if key.name == service)
        if not keys or (not started and self._holds_already(keys, condition)):
            return set()
        names = tuple(self._desired.containers[key].spec.name for key in keys)
        origin = self._desired.containers[keys[0]].spec.origin
        action = AwaitCondition(names, condition)
        step = self._steps.add(action, after=started, because=f"others wait for {service}", origin=origin)
        self._awaits[service, condition] = step
        return {step}

    def _holds_already(self, keys: list[ResourceKey], condition: Condition) -> bool:
        for key in keys:
            existing = self._matched.current.get(key)
            if existing is None:
                return False
            if condition == "service_completed_successfully":
                holds = existing.state == "exited" and existing.exit_code == 0
            else:
                holds = existing.state == "running" and existing.health in ("healthy", "none")
            if not holds:
                return False
        return True

    def _final_waits(self, order: list[str]) -> None:
        completed = {
            need.service
            for container in self._desired.containers.values()
            for need in container.needs
            if need.condition == "service_completed_successfully"
        }
        for service in order:
            keys = sorted(key for key in self._desired.containers if key.name == service)
            if service not in self._selected or not keys:
                continue
            condition: Condition = "service_completed_successfully" if service in completed else "service_healthy"
            started = self._started.get(service, set())
            is_known = (service, condition) in self._awaits
            if is_known or (not started and self._holds_already(keys, condition)):
                continue
            names = tuple(self._desired.containers[key].spec.name for key in keys)
            action = AwaitCondition(names, condition, self._policy.wait_timeout_s)
            origin = self._desired.containers[keys[0]].spec.origin
            step = self._steps.add(action, after=started, because="asked for by --wait", origin=origin)
            self._awaits[service, condition] = step


def _networks(spec: ContainerSpec) -> list[str]:
    if isinstance(spec.networking, JoinNetworks):
        return [attachment.network for attachment in spec.networking.attachments]
    return []


def _line(spec: ContainerSpec) -> SourceRange | None:
    return spec.origin.get("")


def _place(change: Change) -> SourceRange | None:
    return next((reason.source for reason in change.reasons if reason.source is not None), None)
