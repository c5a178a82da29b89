"""The memory engine: an exact world of values. What another engine does differently, that one does wrong.

It is the reference for the Engine protocol, and what planning is tested on: everything is instant, time is
simulated, what processes do is told by a script, and any action can be made to fail, before its effect or after.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from stackctl import labels
from stackctl.engines.memory_world import TICK_NS, Behaviour, BehaviourOf, MemoryContainer, World
from stackctl.engines.observing import (
    container_key,
    is_oneoff,
    network_key,
    network_names,
    observed,
    observed_address,
    volume_key,
    volume_names,
)
from stackctl.errors import ContainerError, EngineError, NotFound, StackctlError
from stackctl.model.health import Health
from stackctl.model.image import ResolvedImage
from stackctl.model.observed import Observed, ObservedContainer, ObservedNetwork, ObservedPort, ObservedVolume
from stackctl.model.stack import Condition
from stackctl.reconcile.action import (
    Action,
    AwaitCondition,
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KillContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwitchTraffic,
    UpdateContainer,
)
from stackctl.reconcile.engine import CancelCheck, ImageRequest, ResourceNames, Traits
from stackctl.reconcile.live import ALL_LIVE
from stackctl.runtime.kernel.process import signal_number

_LOOK_S: Final = 0.01
_SETTLED_NS: Final = 500_000_000
_FIRST_PID: Final = 1000
_GOALS: Final[Mapping[Condition, str]] = {
    "service_started": "running",
    "service_healthy": "healthy",
    "service_completed_successfully": "done",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of one action: ``before`` its effect, or ``after`` it, as when the answer is lost."""

    moment: Literal["before", "after"]
    error: StackctlError


def _no_fault(_action: Action) -> Fault | None:
    return None


class MemoryEngine:
    """An engine without a machine. Any thread may call any method.

    ``images`` are by reference, ``remote_images`` what registries have, ``built_images`` what builds come to, by
    service. ``behaviour_of`` says what a container's
    process does. ``fault_of`` may be
    replaced at any time, and is asked before each action.
    """

    def __init__(
        self,
        images: Mapping[str, ResolvedImage],
        *,
        remote_images: Mapping[str, ResolvedImage] | None = None,
        behaviour_of: BehaviourOf = lambda _: Behaviour(),
        traits: Traits | None = None,
        now_ns: int = TICK_NS,
    ) -> None:
        self.images = dict(images)
        self.remote_images = dict(remote_images or {})
        self.built_images: dict[str, ResolvedImage] = {}
        self.fault_of: Callable[[Action], Fault | None] = _no_fault
        self.performed: list[Action] = []
        self._tagged_ns: dict[str, int] = {}
        self._traits = traits or Traits(live_fields=ALL_LIVE, can_switch_traffic=True)
        self._world = World(behaviour_of, now_ns)
        self._changed = threading.Condition()

    def traits(self) -> Traits:
        """Return what it was made with."""
        return self._traits

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find images by their reference, as written."""
        found = {}
        for request in requests:
            here, there = self.images.get(request.reference), self.remote_images.get(request.reference)
            age_ns = self._world.now_ns - self._tagged_ns.get(request.reference, 0)
            is_old = bool(request.max_age_s) and age_ns > request.max_age_s * 1e9
            is_asked = request.policy == "always" or (request.policy == "missing" and (here is None or is_old))
            image = there if is_asked and there is not None else here
            if image is not None:
                found[request] = replace(image, remote_digest="") if here is not None and here.id == image.id else image
        return found

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """Return what there is of ``stack`` or under one of ``names``."""
        with self._changed:
            return observed(stack, names, self._containers(), self._networks(), self._volumes())

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """See ``reconcile.engine.Engine.perform``."""
        fault = self.fault_of(action)
        if fault is not None and fault.moment == "before":
            raise fault.error
        with self._changed:
            self._world.advance_to(self._world.now_ns + TICK_NS)
            if isinstance(action, AwaitCondition):
                self._await(action, cancelled)
            else:
                self._perform(action)
            self.performed.append(action)
            self._changed.notify_all()
        if fault is not None:
            raise fault.error
        return ""

    # -- what happens without an action -------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The time, in nanoseconds since the epoch."""
        return self._world.now_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._changed:
            self._world.advance_to(self._world.now_ns + round(seconds * 1e9))
            self._changed.notify_all()

    def exit(self, name: str, code: int) -> None:
        """The container's process ends by itself, now. Raises NotFound."""
        with self._changed:
            self._world.exit(self._world.find(name), code)
            self._changed.notify_all()

    def set_health(self, name: str, health: Health) -> None:
        """The container's health check finds this. Raises NotFound."""
        with self._changed:
            self._world.find(name).health = health
            self._changed.notify_all()

    def volume_serials(self) -> dict[str, int]:
        """Return what stands for the content of each volume, by name: it is kept as long as the volume is."""
        with self._changed:
            return {name: volume.serial for name, volume in self._world.volumes.items()}

    # -- actions --------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        world = self._world
        match action:
            case PullImage(reference, _, image_id, _):
                self._pull(reference, image_id)
            case BuildImage():
                self._build(action)
            case CreateNetwork(spec):
                world.create_network(spec)
            case RemoveNetwork(name, expect_id):
                world.remove_network(name, expect_id)
            case CreateVolume(volume):
                world.create_volume(volume)
            case RemoveVolume(name):
                world.remove_volume(name)
            case CreateContainer(container):
                if container.image_id not in {image.id for image in self.images.values()}:
                    raise NotFound(f"image {container.image_ref} is gone", code="image-not-found")
                world.create(container)
            case _:
                self._perform_on_container(action)

    def _pull(self, reference: str, image_id: str) -> None:
        known = (*self.images.values(), *self.remote_images.values())
        found = next((image for image in known if image.id == image_id), None)
        if found is None:
            raise NotFound(f"{reference} is not in the registry", code="image-not-found")
        self.images[reference] = replace(found, remote_digest="")
        self._tagged_ns[reference] = self._world.now_ns

    def _build(self, action: BuildImage) -> None:
        made = self.built_images.get(action.service)
        if made is None:
            raise NotFound(f"the context of service {action.service} was not sent", code="build-context-missing")
        for reference in (action.reference, *action.spec.tags):
            self.images[reference] = made

    def _perform_on_container(self, action: Action) -> None:
        world = self._world
        match action:
            case StartContainer(name, expect_id, replaces):
                world.start(world.find(name, expect_id), is_standby=bool(replaces))
            case SwitchTraffic(name, replaced, replaced_id, expect_id):
                world.switch(world.find(name, expect_id), replaced, replaced_id)
            case KillContainer(name, expect_id, signal):
                self._kill(world.find(name, expect_id), signal)
            case StopContainer() | RemoveContainer():
                self._end(action)
            case RenameContainer(name, new_name):
                if name in world.containers or new_name not in world.containers:
                    world.rename(world.find(name), new_name)
            case UpdateContainer(name, expect_id, spec, fields):
                world.update(world.find(name, expect_id), spec, fields)
            case _:
                raise EngineError(f"{type(action).__name__} is unknown to this engine")

    def _end(self, action: StopContainer | RemoveContainer) -> None:
        if action.name in self._world.containers:
            found = self._world.find(action.name, action.expect_id)
            if isinstance(action, StopContainer):
                self._world.stop(found, action.grace_s)
            else:
                self._world.remove(found)

    def _kill(self, container: MemoryContainer, signal: str) -> None:
        try:
            number = signal_number(signal)
        except ValueError as error:
            raise ContainerError(str(error), code="unknown-signal") from error
        self._world.kill(container, number, signal_number(container.spec.stop_signal))

    # -- waiting --------------------------------------------------------------------------------------

    def _await(self, action: AwaitCondition, cancelled: CancelCheck) -> None:
        world = self._world
        deadline = world.now_ns + round(action.timeout_s * 1e9) if action.timeout_s else None
        held_since: int | None = None
        while True:
            waiting = [name for name in action.names if not _is_met(world.find(name), action)]
            if action.monitor_s is not None:
                _check_never_restarted(world, action.names)
            settled = 0 if waiting or action.condition != "service_healthy" else _settled_ns(world, action.names)
            if waiting:
                held_since = None
            elif held_since is None:
                held_since = max(settled, world.now_ns)
            settled = 0 if held_since is None else held_since + round((action.monitor_s or 0.0) * 1e9)
            if not waiting and settled <= world.now_ns:
                return
            if cancelled():
                raise EngineError("cancelled", code="cancelled")
            due = world.next_event_ns()
            if settled and (due is None or due > settled):
                due = settled
            if due is not None and (deadline is None or due <= deadline):
                world.advance_to(due)
            elif deadline is not None:
                world.advance_to(deadline)
                goal = _GOALS[action.condition]
                text = f"{', '.join(waiting)} not {goal} after {action.timeout_s:g} s"
                raise ContainerError(text, code="wait-timeout")
            else:
                # Time brings nothing: only another action can.
                self._changed.wait(_LOOK_S)

    # -- looking --------------------------------------------------------------------------------------

    def _containers(self) -> tuple[ObservedContainer, ...]:
        return tuple(self._container(found) for _, found in sorted(self._world.containers.items()))

    def _container(self, container: MemoryContainer) -> ObservedContainer:
        spec, marks = container.spec, dict(container.spec.labels)
        networks = self._world.networks
        return ObservedContainer(
            id=container.id,
            name=container.name,
            state=container.state,
            key=container_key(marks),
            spec=spec,
            fingerprint=marks.get(labels.CONFIG_HASH, ""),
            health=container.health,
            exit_code=container.exit_code if container.state in ("exited", "restarting") else None,
            is_oneoff=is_oneoff(marks),
            is_standby=container.is_standby,
            image_ref=spec.image_ref,
            image_id=spec.image_id,
            labels=spec.labels,
            networks=tuple(
                observed_address(
                    name,
                    address,
                    subnet=str(networks[name].addressing.subnet) if name in networks else "",
                    gateway=networks[name].addressing.gateway if name in networks else "",
                )
                for name, address in sorted(container.addresses.items())
            ),
            ports=tuple(
                ObservedPort(
                    host_ip=port.host_ip, host_port=at, container_port=port.container_port, protocol=port.protocol
                )
                for port, at in container.ports
            ),
            volumes=volume_names(spec),
            pid=_FIRST_PID + int(container.id[:12], 16) if container.state == "running" else 0,
            restart_count=container.restart_count,
            created_ns=container.created_ns,
            started_ns=container.started_ns,
            finished_ns=container.finished_ns,
            error=container.error,
            is_post_start_due=container.state == "running" and container.is_post_start_due,
        )

    def _networks(self) -> tuple[ObservedNetwork, ...]:
        users: dict[str, list[str]] = {}
        for name, container in sorted(self._world.containers.items()):
            for network in network_names(container.spec):
                users.setdefault(network, []).append(name)
        return tuple(
            ObservedNetwork(
                id=network.id,
                name=name,
                key=network_key(dict(network.spec.labels)),
                spec=network.spec,
                subnet=str(network.addressing.subnet),
                gateway=network.addressing.gateway,
                labels=network.spec.labels,
                containers=tuple(users.get(name, ())),
                created_ns=network.created_ns,
            )
            for name, network in sorted(self._world.networks.items())
        )

    def _volumes(self) -> tuple[ObservedVolume, ...]:
        users: dict[str, list[str]] = {}
        for name, container in sorted(self._world.containers.items()):
            for volume in volume_names(container.spec):
                users.setdefault(volume, []).append(name)
        return tuple(
            ObservedVolume(
                name=name,
                key=volume_key(dict(volume.spec.labels)),
                spec=volume.spec,
                labels=volume.spec.labels,
                used_by=tuple(users.get(name, ())),
                created_ns=volume.created_ns,
            )
            for name, volume in sorted(self._world.volumes.items())
        )


def _is_met(container: MemoryContainer, action: AwaitCondition) -> bool:
    is_done = container.state == "exited" and container.exit_code == 0 and not container.is_standby
    return (is_done and action.monitor_s is not None) or _holds(container, action.condition)


def _check_never_restarted(world: World, names: Sequence[str]) -> None:
    for name in names:
        if world.find(name).restart_count:
            raise ContainerError(f"container {name} ended soon after its start", code="update-failed")


def _settled_ns(world: World, names: Sequence[str]) -> int:
    """Return when those without a check will have run long enough to count as running."""
    found = (world.find(name) for name in names)
    return max((one.started_ns + _SETTLED_NS for one in found if one.health == "none"), default=0)


def _holds(container: MemoryContainer, condition: Condition) -> bool:
    """Say whether the condition holds now. Raises ContainerError when it no longer can."""
    name, code = container.name, container.exit_code
    match condition:
        case "service_started":
            return container.state == "running" or container.started_ns > 0
        case "service_healthy":
            if container.state == "exited":
                raise ContainerError(
                    f"container {name} exited ({code}) before it was healthy", code="dependency-exited"
                )
            if container.health == "unhealthy":
                raise ContainerError(f"container {name} is unhealthy", code="health-never-reached")
            return container.state == "running" and container.health in ("healthy", "none")
        case "service_completed_successfully":
            if container.state == "exited" and code != 0:
                text = f"container {name} didn't complete successfully: exit {code}"
                raise ContainerError(text, code="dependency-failed")
            return container.state == "exited"
