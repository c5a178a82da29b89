"""How the containers of a service are replaced: in which order, how many at a time, and what a failure means. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from stackctl.diagnostics import Diagnostic
from stackctl.model.container import (
    BindMount,
    ContainerSpec,
    HostNetwork,
    JoinNetworks,
    ShareNetwork,
    VolumeMount,
    namespace_owners,
)
from stackctl.model.deploy import FailureAction, UpdateOrder, UpdatePolicy
from stackctl.model.key import ResourceKey
from stackctl.model.observed import ObservedContainer
from stackctl.model.stack import Stack
from stackctl.reconcile.claims import Holders
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.engine import Traits

Pair: TypeAlias = tuple[ResourceKey, ObservedContainer]
HOLD_S: Final = 5.0
"""How long clients of a published port wait for a successor before they are refused."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """``parallelism`` None means: in two halves. ``monitor_s`` None: nothing is written about updates.

    ``tolerance`` is how many replicas may fail before ``failure_action`` is taken.
    """

    order: UpdateOrder = "stop-first"
    parallelism: int | None = None
    delay_s: float = 0.0
    failure_action: FailureAction = "pause"
    monitor_s: float | None = None
    tolerance: int = 0
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether the stack file says how to update."""
        return self.monitor_s is not None

    def batches(self, keys: Sequence[ResourceKey]) -> list[Sequence[ResourceKey]]:
        """Return who is replaced together, in order."""
        if self.parallelism is None:
            half = len(keys) // 2
            return [part for part in (keys[:half], keys[half:]) if part]
        size = self.parallelism or len(keys) or 1
        return [keys[at : at + size] for at in range(0, len(keys), size)]


def rollout_of(
    wanted: Desired,
    service: str,
    replaced: Sequence[Pair],
    holders: Holders,
    traits: Traits,
) -> Rollout:
    """Return how ``replaced``, the containers of a service that must make way, are replaced (docs/decisions/0013)."""
    spec = wanted.common[service]
    policy = wanted.stack.services[service].deploy.update
    obstacle = next(_obstacles(wanted, service, replaced, holders, traits), "")
    if policy is None:
        is_safe = not obstacle and not next(_doubts(wanted.stack, service, spec), "")
        return Rollout(order="start-first" if is_safe else "stop-first")
    is_impossible = policy.order == "start-first" and obstacle
    return Rollout(
        order="stop-first" if is_impossible else policy.order,
        parallelism=policy.parallelism,
        delay_s=policy.delay_s,
        failure_action=policy.failure_action,
        monitor_s=policy.monitor_s,
        tolerance=_tolerance(policy, len(replaced)),
        warnings=(_no_overlap(wanted.stack, service, obstacle),) if is_impossible else (),
    )


def hold_s(existing: ObservedContainer, wanted: ContainerSpec | None) -> float:
    """Return how long the clients of a container that comes back, or is replaced, are to wait for that."""
    if existing.spec is None:
        return 0.0
    after = wanted or existing.spec
    is_published = any(
        port.protocol == "tcp" and port.host_first for port in set(existing.spec.ports) & set(after.ports)
    )
    return HOLD_S if is_published or existing.spec.exposed_ports else 0.0


def _tolerance(policy: UpdatePolicy, count: int) -> int:
    return int(policy.max_failure_ratio * count + 1e-9)


def _obstacles(
    wanted: Desired,
    service: str,
    replaced: Sequence[Pair],
    holders: Holders,
    traits: Traits,
) -> Iterator[str]:
    """Say why a new container could not run, or have the traffic, while the old one is still there."""
    spec = wanted.common[service]
    if not (traits.can_switch_traffic and traits.can_rename):
        yield "the engine cannot lead traffic from one to the other"
    if isinstance(spec.networking, HostNetwork):
        yield "it is in the host's network, where each port is there once"
    if isinstance(spec.networking, ShareNetwork):
        yield "it shares a network namespace, where each port is there once"
    own = {container.spec.name for key, container in wanted.containers.items() if key.name == service}
    if any(not own.isdisjoint(namespace_owners(container.spec)) for container in wanted.containers.values()):
        yield "others share its namespaces"
    places = spec.networking.attachments if isinstance(spec.networking, JoinNetworks) else ()
    if any(place.ipv4_address or place.mac_address for place in places):
        yield "its address is fixed"
    if any(not port.host_first or port.host_first != port.host_last for port in spec.ports):
        yield "its host port is any of several"
    yield from _port_obstacles(wanted, replaced, holders)


def _port_obstacles(wanted: Desired, replaced: Sequence[Pair], holders: Holders) -> Iterator[str]:
    for key, existing in replaced:
        if any(holder is existing for holder in holders.in_the_way_of(wanted.containers[key].spec)):
            yield "its host port would have to be there twice"


def _doubts(stack: Stack, service: str, spec: ContainerSpec) -> Iterator[str]:
    """Say why two at the same time might do harm, or be of no use, so that it must be asked for."""
    if not (spec.ports or spec.exposed_ports):
        yield "nobody is known to connect to it"
    for mount in spec.mounts:
        if isinstance(mount, BindMount | VolumeMount) and not mount.read_only:
            yield f"it writes to {mount.target}"
    if spec.devices or spec.pid_mode or spec.ipc_mode:
        yield "it has a part of the host for itself"
    for other in stack.services.values():
        for need in other.depends_on:
            if need.service == service and need.condition == "service_completed_successfully":
                yield "it is a job"


def _no_overlap(stack: Stack, service: str, obstacle: str) -> Diagnostic:
    path = ("services", service, "deploy", "update_config", "order")
    where = stack.where(*path)
    return Diagnostic(
        severity="warning",
        code="no-overlap",
        summary="The old container is stopped first",
        detail=f"service {service} cannot have two at the same time: {obstacle}.",
        hint="clients of its published ports wait meanwhile, up to 5 seconds; `order: stop-first` says so too",
        sources=(where,) if where else (),
    )
