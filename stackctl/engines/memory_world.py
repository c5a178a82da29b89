"""The world of the memory engine: containers, networks and volumes as values, and the rules they follow.

One thread at a time. Time is simulated: it moves by a little with every action, and to the next event when
somebody waits.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stackctl.engines.observing import changed
from stackctl.errors import Conflict, ContainerError, EngineError, NotFound
from stackctl.model.container import Attachment, ContainerSpec, JoinNetworks, PublishedPort, namespace_owners
from stackctl.model.health import Health
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import ContainerState
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.network.ipam import Addressing, AddressPool, Taken, plan_addressing
from stackctl.runtime.network.ports import PortTaken

TICK_NS: Final = 1_000_000
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST_NAME: Final = 255
_FIRST_BACK_OFF_S: Final = 0.1
_LONGEST_BACK_OFF_S: Final = 60.0
_FIRST_EPHEMERAL: Final = 32768
_KILLED: Final = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a container's process does. Times are seconds after each of its starts; None is never.

    ``start_error`` keeps it from starting, ``hook_error`` is how its ``post_start`` ends. ``healthy_after_s`` and
    ``unhealthy_after_s`` matter to one with a health check. Asked to stop it ends after ``stops_after_s`` with
    ``stop_code``, unless it is killed first.
    """

    start_error: ContainerError | None = None
    hook_error: ContainerError | None = None
    exits_after_s: float | None = None
    exit_code: int = 0
    healthy_after_s: float | None = 0.0
    unhealthy_after_s: float | None = None
    stops_after_s: float = 0.0
    stop_code: int = 143


BehaviourOf = Callable[[ContainerSpec], Behaviour]


@dataclass(slots=True, eq=False)
class MemoryContainer:
    """One container. ``run`` counts starts and ends: events of an earlier run are void."""

    id: str
    spec: ContainerSpec
    created_ns: int
    state: ContainerState = "created"
    health: Health = "none"
    exit_code: int | None = None
    error: str = ""
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    is_wanted: bool = False
    is_post_start_due: bool = False
    is_standby: bool = False
    run: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    ports: list[tuple[PublishedPort, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The unique name."""
        return self.spec.name


@dataclass(slots=True, eq=False)
class MemoryNetwork:
    """One network."""

    id: str
    spec: NetworkSpec
    addressing: Addressing
    pool: AddressPool
    created_ns: int


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """One volume. ``serial`` stands for its content: another volume of the same name has another one."""

    spec: VolumeSpec
    serial: int
    created_ns: int


class World:
    """Everything there is."""

    def __init__(self, behaviour_of: BehaviourOf, now_ns: int) -> None:
        self.now_ns = now_ns
        self.containers: dict[str, MemoryContainer] = {}
        self.networks: dict[str, MemoryNetwork] = {}
        self.volumes: dict[str, MemoryVolume] = {}
        self._behaviour_of = behaviour_of
        self._ids = itertools.count(1)
        self._turns = itertools.count(1)
        self._events: list[tuple[int, int, MemoryContainer, int, Callable[[MemoryContainer], None]]] = []

    # -- time -----------------------------------------------------------------------------------------

    def next_event_ns(self) -> int | None:
        """Return when something happens by itself next, None for never."""
        while self._events and self._events[0][3] != self._events[0][2].run:
            heapq.heappop(self._events)
        return self._events[0][0] if self._events else None

    def advance_to(self, now_ns: int) -> None:
        """Let time pass, and what is due happen."""
        while (due := self.next_event_ns()) is not None and due <= now_ns:
            _, _, container, _, happen = heapq.heappop(self._events)
            self.now_ns = max(self.now_ns, due)
            happen(container)
        self.now_ns = max(self.now_ns, now_ns)

    def _later(
        self, container: MemoryContainer, seconds: float | None, happen: Callable[[MemoryContainer], None]
    ) -> None:
        if seconds is not None:
            due = self.now_ns + round(seconds * 1e9)
            heapq.heappush(self._events, (due, next(self._turns), container, container.run, happen))

    def _new_id(self) -> str:
        # The part that makes temporary names unique is the first: 12 digits.
        return f"{next(self._ids):012x}".ljust(64, "0")

    # -- networks and volumes -------------------------------------------------------------------------

    def create_network(self, spec: NetworkSpec) -> None:
        """Make the network unless it exists as asked."""
        found = self.networks.get(spec.name)
        if found is not None:
            if found.spec != spec:
                raise Conflict(f"network {spec.name} exists with another definition", code="network-differs")
            return
        if spec.driver not in ("", "bridge"):
            raise EngineError(f"network {spec.name}: driver {spec.driver!r} is not available", code="network-driver")
        taken = tuple(Taken(other.addressing.subnet, f"network {other.spec.name}") for other in self.networks.values())
        addressing = plan_addressing(spec, taken)
        pool = AddressPool(addressing)
        self.networks[spec.name] = MemoryNetwork(self._new_id(), spec, addressing, pool, self.now_ns)

    def remove_network(self, name: str, expect_id: str) -> None:
        """Remove a network that nobody runs on; none of the name is fine."""
        network = self.networks.get(name)
        if network is None:
            return
        if expect_id and network.id != expect_id:
            raise changed("network", name)
        users = [c.name for c in self.containers.values() if c.state == "running" and name in _networks(c.spec)]
        if users:
            raise Conflict(f"network {name} is in use by {', '.join(users)}", code="network-in-use")
        del self.networks[name]

    def create_volume(self, spec: VolumeSpec) -> None:
        """Make the volume unless it exists."""
        if spec.name not in self.volumes:
            self.volumes[spec.name] = MemoryVolume(spec, next(self._turns), self.now_ns)

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container has; none of the name is fine."""
        users = [
            c.name for c in self.containers.values() if any(getattr(m, "volume", "") == name for m in c.spec.mounts)
        ]
        if users and name in self.volumes:
            raise Conflict(f"volume {name} is in use by {', '.join(users)}", code="volume-in-use")
        self.volumes.pop(name, None)

    # -- containers -----------------------------------------------------------------------------------

    def find(self, name: str, expect_id: str = "") -> MemoryContainer:
        """Return the container of a name. Raises NotFound; Conflict when its id is not ``expect_id``."""
        found = self.containers.get(name)
        if found is None:
            raise NotFound(f"no such container: {name}", code="no-such-container")
        if expect_id and found.id != expect_id:
            raise changed("container", name)
        return found

    def create(self, spec: ContainerSpec) -> MemoryContainer:
        """Make a container, not started."""
        existing = self.containers.get(spec.name)
        if existing is not None:
            if existing.spec == spec and existing.state == "created":
                return existing
            raise _name_taken(spec.name, existing)
        if not _NAME.fullmatch(spec.name) or len(spec.name) > _LONGEST_NAME:
            raise ContainerError(f"invalid container name: {spec.name!r}", code="invalid-name")
        if not spec.argv:
            raise ContainerError(f"container {spec.name}: no command", code="no-command")
        for network in _networks(spec):
            self._network(network)
        for mount in spec.mounts:
            if volume := getattr(mount, "volume", ""):
                self.create_volume(VolumeSpec(name=volume))
        self.containers[spec.name] = made = MemoryContainer(self._new_id(), spec, self.now_ns)
        return made

    def start(self, container: MemoryContainer, *, is_standby: bool = False) -> None:
        """Have it run, and what is to run after its start."""
        if container.state != "running":
            container.is_wanted, container.restart_count = True, 0
            container.is_standby = is_standby
            container.is_post_start_due = bool(container.spec.post_start)
            self._launch(container)
        error = self._behaviour_of(container.spec).hook_error
        if container.is_post_start_due and error is not None:
            raise error
        container.is_post_start_due = False

    def stop(self, container: MemoryContainer, grace_s: float) -> None:
        """Have it not run, and not come back by itself."""
        container.is_wanted = False
        if container.state == "restarting":
            self._end(container, "exited")
        if container.state != "running":
            return
        behaviour = self._behaviour_of(container.spec)
        is_killed = behaviour.stops_after_s > grace_s
        self.advance_to(self.now_ns + round((grace_s if is_killed else behaviour.stops_after_s) * 1e9))
        if container.state == "running":
            self.exit(container, _KILLED if is_killed else behaviour.stop_code)

    def switch(self, container: MemoryContainer, replaced: str, replaced_id: str) -> None:
        """Give it the traffic of another, if there is one of this name."""
        other = self.find(replaced, replaced_id) if replaced in self.containers else None
        container.is_standby = False
        if other is not None:
            other.is_standby = True

    def kill(self, container: MemoryContainer, signal: int, stop_signal: int) -> None:
        """Send a signal. SIGKILL ends it; its stop signal does what the behaviour says; others do nothing."""
        if container.state != "running":
            return
        if signal == 9:
            container.is_wanted = False
            self.exit(container, _KILLED)
        elif signal == stop_signal:
            container.is_wanted = False
            behaviour = self._behaviour_of(container.spec)
            self._later(container, behaviour.stops_after_s, lambda c: self.exit(c, behaviour.stop_code))

    def remove(self, container: MemoryContainer) -> None:
        """Remove one that does not run."""
        if container.state in ("running", "restarting"):
            raise Conflict(
                f"container {container.name} is running: stop it before removing it", code="container-running"
            )
        for name, address in container.addresses.items():
            if name in self.networks:
                self.networks[name].pool.release(address)
        container.run += 1
        del self.containers[container.name]

    def rename(self, container: MemoryContainer, new_name: str) -> None:
        """Give it another name."""
        holder = self.containers.get(new_name)
        if holder is not None and holder is not container:
            raise _name_taken(new_name, holder)
        del self.containers[container.name]
        container.spec = replace(container.spec, name=new_name)
        self.containers[new_name] = container

    def update(self, container: MemoryContainer, wanted: ContainerSpec, fields: Iterable[str]) -> None:
        """Change fields of its specification, under it if it runs."""
        before, after = container.spec, replace(container.spec, **{name: getattr(wanted, name) for name in fields})
        for network in _networks(after):
            self._network(network)
        container.spec = after
        if container.state != "running":
            return
        held = container.ports
        try:
            self._claim_addresses(container)
            container.ports = []
            self._hold_ports(container, [entry for entry in held if entry[0] in after.ports])
        except EngineError:
            container.spec, container.ports = before, held
            raise
        for name in set(_networks(before)) - set(_networks(after)):
            self.networks[name].pool.release(container.addresses.pop(name))
        if before.health != after.health:
            container.health = "none" if after.health is None else "healthy"

    def exit(self, container: MemoryContainer, code: int) -> None:
        """Its process ends; the restart policy decides what follows."""
        container.exit_code, container.finished_ns = code, self.now_ns
        policy = container.spec.restart
        is_due = policy.kind in ("always", "unless-stopped") or (
            policy.kind == "on-failure" and code != 0 and container.restart_count < (policy.max_attempts or 1 << 30)
        )
        if not (is_due and container.is_wanted):
            self._end(container, "exited")
            return
        back_off_s = min(_FIRST_BACK_OFF_S * 2 ** min(container.restart_count, 20), _LONGEST_BACK_OFF_S)
        container.restart_count += 1
        container.state, container.health = "restarting", "none"
        container.run += 1
        self._later(container, back_off_s, self._relaunch)

    def _relaunch(self, container: MemoryContainer) -> None:
        try:
            self._launch(container)
        except EngineError:  # it is recorded in the container, as nobody asked
            return

    def _launch(self, container: MemoryContainer) -> None:
        behaviour = self._behaviour_of(container.spec)
        try:
            self._check_owner(container)
            self._claim_addresses(container)
            self._hold_ports(container)
            if behaviour.start_error is not None:
                raise behaviour.start_error
        except EngineError as error:
            container.error, container.is_wanted = str(error), False
            container.exit_code = 128 if container.exit_code is None else container.exit_code
            self._end(container, "exited" if container.started_ns else "created")
            raise
        has_check = container.spec.health is not None
        container.state, container.health = "running", "starting" if has_check else "none"
        container.exit_code, container.error, container.started_ns = None, "", self.now_ns
        container.run += 1
        if has_check:
            self._later(container, behaviour.healthy_after_s, lambda c: _set_health(c, "healthy"))
            self._later(container, behaviour.unhealthy_after_s, lambda c: _set_health(c, "unhealthy"))
        self._later(container, behaviour.exits_after_s, lambda c: self.exit(c, behaviour.exit_code))

    def _end(self, container: MemoryContainer, state: ContainerState) -> None:
        container.state, container.health = state, "none"
        container.ports = []
        container.run += 1

    def _check_owner(self, container: MemoryContainer) -> None:
        for owner in namespace_owners(container.spec):
            if self.find(owner).state != "running":
                raise Conflict(
                    f"container {container.name} shares a namespace of {owner}, which does not run",
                    code="namespace-owner-not-running",
                )

    def _network(self, name: str) -> MemoryNetwork:
        if name not in self.networks:
            raise NotFound(f"no such network: {name}", code="no-such-network")
        return self.networks[name]

    def _claim_addresses(self, container: MemoryContainer) -> None:
        for attachment in _attachments(container.spec):
            network = self._network(attachment.network)
            wanted = attachment.ipv4_address or container.addresses.get(attachment.network)
            if wanted:
                self._take_from_idle(network, wanted, container)
                network.pool.claim(wanted, container.id)
            else:
                wanted = network.pool.allocate(container.id, spared=self._fixed_addresses(attachment.network))
            container.addresses[attachment.network] = wanted

    def _fixed_addresses(self, network: str) -> Iterator[str]:
        for container in self.containers.values():
            for attachment in _attachments(container.spec):
                if attachment.network == network and attachment.ipv4_address:
                    yield attachment.ipv4_address

    def _take_from_idle(self, network: MemoryNetwork, address: str, container: MemoryContainer) -> None:
        for other in self.containers.values():
            holds = other.addresses.get(network.spec.name) == address
            if other is not container and holds and other.state in ("created", "exited"):
                network.pool.release(address)
                del other.addresses[network.spec.name]

    def _hold_ports(self, container: MemoryContainer, held: Sequence[tuple[PublishedPort, int]] = ()) -> None:
        if container.ports:
            return
        known = dict(held)
        for port in container.spec.ports:
            if port in known:
                container.ports.append((port, known[port]))
                continue
            first = port.host_first or _FIRST_EPHEMERAL
            candidates = range(first, (port.host_last if port.host_first else 65535) + 1)
            number = next((n for n in candidates if self._port_holder(port, n, container) is None), 0)
            if not number:
                holder = self._port_holder(port, first, container)
                container.ports = []
                raise PortTaken(port.host_ip, first, port.protocol, f"container {holder}")
            container.ports.append((port, number))

    def _port_holder(self, port: PublishedPort, number: int, container: MemoryContainer) -> str | None:
        for other in self.containers.values():
            for held, at in other.ports:
                overlaps = held.host_ip == port.host_ip or "" in (held.host_ip, port.host_ip)
                if at != number or held.protocol != port.protocol or not overlaps:
                    continue
                is_shared = port.share and held.share == port.share and held.host_ip == port.host_ip
                if not (is_shared and other is not container):
                    return other.name
        return None


def _name_taken(name: str, holder: MemoryContainer) -> Conflict:
    return Conflict(f"the container name {name!r} is already in use by container {holder.id[:12]}", code="name-taken")


def _set_health(container: MemoryContainer, health: Health) -> None:
    container.health = health


def _attachments(spec: ContainerSpec) -> Iterable[Attachment]:
    return spec.networking.attachments if isinstance(spec.networking, JoinNetworks) else ()


def _networks(spec: ContainerSpec) -> list[str]:
    return [attachment.network for attachment in _attachments(spec)]
