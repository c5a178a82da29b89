"""Plans about what exists already: stop, start, restart, kill and down. They need no stack file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer, ObservedVolume
from stackctl.model.stack import Condition
from stackctl.reconcile.action import (
    AwaitCondition,
    KillContainer,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    StartContainer,
    StopContainer,
)
from stackctl.reconcile.gates import Edges, Gates, Need
from stackctl.reconcile.labelled import LabelledServices
from stackctl.reconcile.match import RUNNING
from stackctl.reconcile.plan import Change, ChangeKind, Plan, PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.resource_steps import grace_of
from stackctl.reconcile.rollout import hold_s
from stackctl.reconcile.up import holds

_ASKED = "asked for"


def plan_stop(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops the services, dependents first."""
    work = _Work(observed, policy)
    work.stop("stop")
    return work.plan()


def plan_kill(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that sends the signal to every running container of the services, one-offs too."""
    work = _Work(observed, policy)
    services = work.services
    oneoffs = [c for c in services.oneoffs if not policy.services or c.label(labels.SERVICE) in policy.services]
    for container in (*work.chosen(), *oneoffs):
        if container.state in RUNNING:
            action = KillContainer(container.name, container.id, policy.signal)
            work.steps.add(action, because=_ASKED, disruption="restart")
            work.note(container, "kill")
    return work.plan()


def plan_start(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that starts existing containers, and those of their dependencies, keeping conditions."""
    work = _Work(observed, policy, with_needs=True)
    work.start()
    return work.plan()


def plan_restart(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops and starts the services, and those that asked to be restarted with them.

    Of a service with several running replicas one is restarted after the other.
    """
    work = _Work(observed, policy)
    if not policy.no_deps:
        work.select_followers()
    work.roll()
    work.stop("restart")
    work.start()
    return work.plan()


def plan_down(observed: Observed, policy: Policy) -> Plan:
    """Return the plan that stops and removes containers, then networks, and with ``remove_volumes`` volumes.

    With services named only their containers go. One-offs go only with ``remove_orphans``; a network that one
    of them runs on then stays, with a warning. External networks and volumes always stay.
    """
    work = _Work(observed, policy)
    work.stop(None)
    for container in work.chosen():
        work.remove(container)
    if policy.services:
        return work.plan()
    if policy.remove_orphans:
        for container in work.services.oneoffs:
            work.stop_one(container, ())
            work.remove(container)
    work.remove_networks()
    if policy.remove_volumes:
        work.remove_volumes()
    return work.plan()


class _Work:
    """Collects the steps of one plan."""

    def __init__(self, observed: Observed, policy: Policy, *, with_needs: bool = False) -> None:
        self.services = LabelledServices(observed, policy, with_needs=with_needs)
        self.steps = PlanBuilder()
        self._observed = observed
        self._policy = policy
        self._changes: list[Change] = []
        self._warnings: list[Diagnostic] = []
        self._stopped: dict[str, int] = {}  # container name -> step
        self._removed: dict[str, int] = {}
        self._rolling: set[str] = set()

    def plan(self) -> Plan:
        """Return what was collected."""
        return Plan(
            stack=self._observed.stack,
            steps=self.steps.steps(),
            changes=tuple(self._changes),
            warnings=tuple(self._warnings),
            base=self._observed.fingerprint,
        )

    def note(self, container: ObservedContainer, kind: ChangeKind) -> None:
        """Record what happens to a container."""
        key = container.key or ResourceKey("container", container.name)
        self._changes.append(Change(key, kind, container.name))

    def chosen(self) -> list[ObservedContainer]:
        """Return every container of the selected services."""
        services = self.services
        return [
            container
            for service in services.order
            if service in services.selected
            for container in services.all[service]
        ]

    def select_followers(self) -> None:
        """Select also who is to be restarted with what is selected."""
        services = self.services
        for service in services.order:
            follows = any(
                need.service in services.selected and (need.restart or services.shares_namespace(service))
                for need in services.needs[service]
            )
            runs = any(container.state in RUNNING for container in services.current[service])
            if follows and runs:
                services.selected.add(service)

    def roll(self) -> None:
        """Restart the replicas of a service one after the other, where there are several."""
        for service in self.services.selected:
            running = [container for container in self.services.current[service] if container.state in RUNNING]
            if len(running) > 1:
                self._rolling.add(service)

    # -- stopping and removing ------------------------------------------------------------------------

    def stop(self, kind: ChangeKind | None) -> None:
        """Add a stop for each running container, dependents first."""
        services = self.services
        stops: dict[str, set[int]] = {}
        for service in reversed(services.order):
            if service not in services.selected:
                continue
            # Order: whoever uses a service goes before it. A stop that fails must not keep the others up.
            before = {step for name in services.dependents[service] for step in stops.get(name, ())}
            rolling = {c.name for c in services.current[service]} if service in self._rolling else set()
            for container in services.all[service]:
                if container.name in rolling:
                    continue  # its turn comes later
                if container.state in RUNNING:
                    held_s = hold_s(container, None) if kind == "restart" else 0.0
                    stops.setdefault(service, set()).add(self.stop_one(container, before, held_s=held_s))
                    if kind is not None:
                        self.note(container, kind)
                elif service in stops or before:
                    # A dependency's stop still waits for the users of who is stopped already.
                    stops.setdefault(service, set()).update(before)

    def stop_one(
        self, container: ObservedContainer, before: Iterable[int], *, held_s: float = 0.0, after: Iterable[int] = ()
    ) -> int:
        """Add the stop of a container, if it runs; return its step."""
        if container.state not in RUNNING:
            return 0
        action = StopContainer(container.name, container.id, grace_of(container, self._policy), held_s)
        step = self.steps.add(action, after=after, soft_after=before, because=_ASKED, disruption="restart")
        self._stopped[container.name] = step
        return step

    def remove(self, container: ObservedContainer) -> None:
        """Add the removal of a container."""
        after = [self._stopped[container.name]] if container.name in self._stopped else []
        action = RemoveContainer(container.name, container.id)
        step = self.steps.add(action, after=after, because=_ASKED, disruption="replace")
        self._removed[container.name] = step
        self.note(container, "remove")

    def remove_networks(self) -> None:
        """Add the removal of the stack's networks that nobody will run on."""
        ended = {c.name for c in self._observed.containers if c.state not in RUNNING}
        for network in sorted(self._observed.networks, key=lambda network: network.name):
            is_external = network.spec is not None and network.spec.is_external
            if dict(network.labels).get(labels.PROJECT) != self._observed.stack or is_external:
                continue
            users = [name for name in network.containers if name not in self._removed]
            running = [name for name in users if name not in ended]
            if running:
                self._warnings.append(_still_in_use("network", network.name, running))
                continue
            after = [self._removed[name] for name in network.containers if name in self._removed]
            action = RemoveNetwork(network.name, network.id)
            self.steps.add(action, after=after, because=_ASKED, disruption="replace")
            key = network.key or ResourceKey("network", network.name)
            self._changes.append(Change(key, "remove", network.name))

    def remove_volumes(self) -> None:
        """Add the removal of the stack's volumes that no container will have."""
        for volume in sorted(self._observed.volumes, key=lambda volume: volume.name):
            if not _is_removable(volume, self._observed.stack):
                continue
            users = [name for name in volume.used_by if name not in self._removed]
            if users:
                self._warnings.append(_still_in_use("volume", volume.name, users))
                continue
            after = [self._removed[name] for name in volume.used_by]
            action = RemoveVolume(volume.name)
            self.steps.add(action, after=after, because="asked for by --volumes", disruption="destroys data")
            key = volume.key or ResourceKey("volume", volume.name)
            self._changes.append(Change(key, "remove", volume.name))

    # -- starting -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Add a start for each container that does not run (any more), after what it depends on."""
        services = self.services
        names = {name: tuple(c.name for c in found) for name, found in services.current.items()}
        gates = Gates(self.steps, names, self._holds, timeout_s=self._timeout_s())
        for service in services.order:
            if service not in services.selected:
                continue
            started: set[int] = set()
            ready: set[int] = set()
            for container in services.current[service]:
                edges = gates.edges(self._needs(service))
                if service in self._rolling and container.state in RUNNING:
                    self.stop_one(container, edges.soft, after=edges.hard | ready)
                    self.note(container, "restart")
                if self._is_to_start(service, container):
                    started.add(self._start(container, edges))
                if container.name in self._stopped and service in self._rolling:
                    ready = {self._await_ready(container, started)}
            gates.note_started(service, started)
        if self._policy.wait:
            for service in services.order:
                if service in services.selected:
                    gates.final(Need(service, self._final_condition(service)))

    def _start(self, container: ObservedContainer, edges: Edges) -> int:
        stopped = self._stopped.get(container.name)
        if stopped is None:
            self.note(container, "start")
        after = edges.hard | ({stopped} if stopped is not None else frozenset())
        action = StartContainer(container.name, container.id)
        return self.steps.add(action, after=after, soft_after=edges.soft, because=_ASKED)

    def _await_ready(self, container: ObservedContainer, started: set[int]) -> int:
        action = AwaitCondition((container.name,), "service_healthy", 0.0, 0.0)
        return self.steps.add(action, after={max(started)}, because="one replica after the other")

    def _is_to_start(self, service: str, container: ObservedContainer) -> bool:
        if container.name in self._stopped:
            return True
        if container.state in RUNNING:
            return False
        is_done = holds(container, "service_completed_successfully")
        is_named = service in self._policy.services
        return is_named or not (is_done and self.services.is_awaited_to_complete(service))

    def _needs(self, service: str) -> tuple[Need, ...]:
        if self._policy.no_deps:
            return ()
        return tuple(Need(need.service, need.condition) for need in self.services.needs[service])

    def _holds(self, service: str, condition: Condition) -> bool:
        return all(holds(container, condition) for container in self.services.current[service])

    def _final_condition(self, service: str) -> Condition:
        if self.services.is_awaited_to_complete(service):
            return "service_completed_successfully"
        return "service_healthy"

    def _timeout_s(self) -> float:
        return self._policy.wait_timeout_s if self._policy.wait else 0.0


def _is_removable(volume: ObservedVolume, stack: str) -> bool:
    is_external = volume.spec is not None and volume.spec.is_external
    return dict(volume.labels).get(labels.PROJECT) == stack and not is_external


def _still_in_use(kind: str, name: str, users: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code=f"{kind}-in-use",
        summary=f"{kind.capitalize()} is still in use",
        detail=f"{kind} {name} is kept: {', '.join(sorted(users))} still {'uses' if len(users) == 1 else 'use'} it.",
    )
