"""Where published ports and names lead: to the replicas that are ready (docs/decisions/0004)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from stackctl.model.container import Attachment, JoinNetworks
from stackctl.model.network import bridge_options
from stackctl.runtime import health
from stackctl.runtime.kernel.netns import open_netns
from stackctl.runtime.kernel.sock_diag import listeners, open_sock_diag
from stackctl.runtime.loop import Loop, Timer
from stackctl.runtime.network.firewall import Backend, Firewall, FirewallNetwork, FirewallPort, FirewallState
from stackctl.runtime.network.ipv6_relay import relay_address
from stackctl.runtime.network.zone import NetworkZone
from stackctl.runtime.network_store import Network
from stackctl.runtime.published_ports import PublishedPorts
from stackctl.runtime.record import Container

_FIRST_LOOK_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.25
# After this a replica that does not listen where it is published is thought to know better.
_WARMING_S: Final = 30.0
# The same where it is only guessed from its predecessor what it is to listen on.
_GUESSING_S: Final = 5.0
_FIRST_EPHEMERAL: Final = 32768
_Key: TypeAlias = tuple[str, str, int]


class Traffic:
    """The containers that serve, and the firewall and zone that lead to them."""

    def __init__(
        self, loop: Loop, firewall: Firewall, ports: PublishedPorts, networks: Callable[[], Sequence[Network]]
    ) -> None:
        self._loop = loop
        self._firewall = firewall
        self._ports = ports
        self._networks = networks
        self._serving: dict[str, Container] = {}
        self._warming: dict[str, _Warming] = {}
        self._holds: list[_Hold] = []
        self.zone = NetworkZone(self._is_announced_ready)

    def add(self, container: Container) -> None:
        """Let traffic and names lead to a container that has just started, or anew when its health changed.

        One without a health check counts as ready once it listens on the ports it shares with others. One that stands
        by is only looked at.
        """
        is_new = container.id not in self._serving and container.id not in self._warming
        if is_new and not container.facts.is_standby:
            self._announce(container)
        if is_new and self._is_to_be_watched(container):
            self._warming[container.id] = _Warming(self, container, self._loop, self._ears_before(container))
        self.apply()

    def switch(self, container: Container, replaced: Container | None) -> None:
        """Lead to the container what has led to another, in one transaction."""
        if container.is_running:
            self._announce(container)
        if replaced is not None:
            self.warmed(replaced)
            self._withdraw(replaced)
        self.apply()

    def hold(self, container: Container, hold_s: float) -> None:
        """Let who connects to its published TCP ports, or asks for its names, wait while nobody ready is there."""
        if hold_s <= 0:
            return
        keys = frozenset(key for key in self._keys(container) if key[0] == "tcp")
        hold = _Hold(keys, self.zone.places(container.id), _ears(container))
        self._holds.append(hold)
        self.zone.held |= hold.places
        self._loop.call_later(hold_s, lambda: self._end_hold(hold))

    def _end_hold(self, hold: _Hold) -> None:
        self._holds.remove(hold)
        self.zone.held = frozenset().union(*(other.places for other in self._holds))
        self.apply()

    def _held_keys(self) -> set[_Key]:
        return {key for hold in self._holds for key in hold.keys}

    def _holds_for(self, container: Container) -> list[_Hold]:
        """Return what is held for a container, by its ports or names."""
        keys, places = set(self._keys(container)), self.zone.places(container.id)
        return [hold for hold in self._holds if not (hold.keys.isdisjoint(keys) and hold.places.isdisjoint(places))]

    def is_warming(self, container: Container) -> bool:
        """Whether the container is still looked at for the ports that it is to listen on."""
        return container.id in self._warming

    def restore(self, containers: Iterable[Container]) -> None:
        """Take over containers that ran already, without a look at the firewall: ``replace`` it afterwards."""
        for container in containers:
            if not container.facts.is_standby:
                self._announce(container)

    def remove(self, container: Container) -> None:
        """Lead no new traffic to the container."""
        self.warmed(container)
        if self._withdraw(container):
            self.apply()

    def _withdraw(self, container: Container) -> bool:
        if self._serving.pop(container.id, None) is None:
            return False
        self.zone.withdraw(container.id)
        return True

    def rename(self, container: Container) -> None:
        """Let the container's new name lead to it in place of the old one."""
        if container.id in self._serving:
            self._announce(container)

    def warmed(self, container: Container) -> bool:
        """Count a container as ready from now on; return whether it did not before."""
        warming = self._warming.pop(container.id, None)
        if warming is not None:
            warming.end()
        return warming is not None

    def apply(self) -> None:
        """Bring the firewall up to date."""
        self._firewall.apply(self._state())

    def replace(self) -> None:
        """Make all of the firewall's table anew."""
        self._firewall.replace(self._state())

    def serves(self, container: Container) -> bool:
        """Whether the container was added and not removed since."""
        return container.id in self._serving

    def mend(self) -> None:
        """Make the firewall's table anew if somebody removed it."""
        if not self._firewall.is_there():
            self.replace()

    def heirs(self, container: Container) -> list[Container]:
        """Return the other containers that serve under one of its names or ports."""
        keys = set(self._keys(container))
        found = {
            other.id: other
            for other in self._serving.values()
            if other is not container and not keys.isdisjoint(self._keys(other))
        }
        for member in self.zone.namesakes(container.id):
            if member in self._serving:
                found[member] = self._serving[member]
        return list(found.values())

    def is_needed(self, container: Container) -> bool:
        """Whether its names and ports lead to nobody ready but it, while another container warms up."""
        others = self.heirs(container)
        return bool(others) and not any(map(self._is_ready, others)) and any(map(self._is_warming, others))

    # -- readiness --------------------------------------------------------------------------------

    def _is_ready(self, container: Container) -> bool:
        if health.has_check(container.spec.health):
            return container.facts.health == "healthy"
        return container.id not in self._warming

    def _is_warming(self, container: Container) -> bool:
        return container.id in self._warming or container.facts.health == "starting"

    def _is_announced_ready(self, container_id: str) -> bool:
        container = self._serving.get(container_id)
        return container is not None and self._is_ready(container)

    def _ears_before(self, container: Container) -> list[_Ears]:
        """Return where those listen, or did, in whose place a container comes."""
        wanted = container.facts.stands_for if container.facts.is_standby else ""
        found = [_ears(other) for other in self._serving.values() if wanted and other.name == wanted]
        return [*found, *(hold.ears for hold in self._holds_for(container))]

    def _is_to_be_watched(self, container: Container) -> bool:
        if health.has_check(container.spec.health):
            return False
        if container.facts.is_standby:
            return True
        has_ports = any(port.protocol == "tcp" for port, _ in self._ports.of(container))
        return (has_ports and bool(self.heirs(container))) or bool(self._holds_for(container))

    def _keys(self, container: Container) -> Iterable[_Key]:
        return ((port.protocol, port.host_ip, number) for port, number in self._ports.of(container))

    # -- state ------------------------------------------------------------------------------------

    def _announce(self, container: Container) -> None:
        self._serving[container.id] = container
        self.zone.withdraw(container.id)
        for attachment in attachments(container):
            address = container.facts.addresses.get(attachment.network, "")
            if address:
                also = (container.facts.stands_for,) if container.facts.stands_for else ()
                names = (*attachment.aliases, container.id[:12], *also)
                self.zone.announce(
                    container.id, attachment.network, name=container.name, aliases=names, address=address
                )

    def _state(self) -> FirewallState:
        networks = self._networks()
        bridged = tuple(
            FirewallNetwork(
                network.bridge.name,
                str(network.addressing.subnet),
                network.spec.is_internal,
                bridge_options(network.spec.options).is_masqueraded,
                bridge_options(network.spec.options).has_icc,
            )
            for network in networks
            if network.bridge is not None
        )
        outward = {network.spec.name for network in networks if not network.spec.is_internal}
        return FirewallState(bridged, tuple(self._firewall_ports(outward)))

    def _firewall_ports(self, outward: set[str]) -> list[FirewallPort]:
        held = self._held_keys()
        groups: dict[_Key, list[tuple[Container, int]]] = {key: [] for key in held}
        for container in self._serving.values():
            for port, number in self._ports.of(container):
                key = (port.protocol, port.host_ip, number)
                groups.setdefault(key, []).append((container, port.container_port))
        found = []
        for (protocol, host_ip, host_port), members in sorted(groups.items()):
            ready = [member for member in members if self._is_ready(member[0])]
            is_held = not ready and (protocol, host_ip, host_port) in held
            backends = tuple(
                Backend(address, port)
                for container, port in (() if is_held else ready or members)
                if (address := _outward_address(container, outward))
            )
            # The relay of IPv6 comes by an IPv4 address that stands for the other.
            led_ip = relay_address(host_ip) if ":" in host_ip else host_ip
            found.append(FirewallPort("udp" if protocol == "udp" else "tcp", led_ip, host_port, backends, is_held))
        return found


class _Ears(NamedTuple):
    """The TCP ports on which a container listens, and those on which it is published and does not."""

    open: frozenset[int]
    deaf: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Hold:
    """What waits for a successor: connections to host ports, questions for names; and where it is to listen."""

    keys: frozenset[_Key]
    places: frozenset[tuple[str, str]]
    ears: _Ears


class _Warming:
    """Looks, less and less often, whether a new replica listens yet: on its published ports, or as its predecessor."""

    def __init__(self, traffic: Traffic, container: Container, loop: Loop, before: Sequence[_Ears]) -> None:
        self._traffic = traffic
        self._container = container
        self._loop = loop
        # Where its predecessor was published and did not listen nobody was answered before either.
        self._wanted = _published(container).difference(*(ears.deaf for ears in before))
        self._longest_s = _WARMING_S
        if not _published(container):
            self._wanted = {port for ears in before for port in ears.open if port < _FIRST_EPHEMERAL}
            self._longest_s = _GUESSING_S
        self._pause_s = _FIRST_LOOK_S
        self._waited_s = 0.0
        self._timer: Timer | None = loop.call_later(self._pause_s, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._waited_s += self._pause_s
        found = _listening(self._container)
        if self._waited_s >= self._longest_s or found is None or self._wanted <= found:
            self._traffic.warmed(self._container)
            self._traffic.apply()
            return
        self._pause_s = min(self._pause_s * 1.5, _LONGEST_PAUSE_S)
        self._timer = self._loop.call_later(self._pause_s, self._look)


def attachments(container: Container) -> tuple[Attachment, ...]:
    """Return where a container is attached to networks of its own."""
    networking = container.spec.networking
    return networking.attachments if isinstance(networking, JoinNetworks) else ()


def _published(container: Container) -> set[int]:
    return {port.container_port for port in container.spec.ports if port.protocol == "tcp"}


def _ears(container: Container) -> _Ears:
    found = _listening(container)
    return _Ears(frozenset(found or ()), frozenset(_published(container) - found if found is not None else ()))


def _listening(container: Container) -> set[int] | None:
    """Return the TCP ports that the container takes connections on from outside; None when that cannot be told."""
    try:
        netns = open_netns(container.facts.pid)
    except OSError:
        return None  # it has just ended, which is told soon
    try:
        with open_sock_diag(netns) as netlink:
            return {found.port for found in listeners(netlink) if not found.address.startswith("127.")}
    except OSError:
        return None  # a kernel without sock_diag
    finally:
        os.close(netns)


def _outward_address(container: Container, outward: set[str]) -> str:
    for attachment in attachments(container):
        if attachment.network in outward:
            return container.facts.addresses.get(attachment.network, "")
    return ""


def fixed_addresses(containers: Iterable[Container], network: str) -> Iterator[str]:
    """Yield the addresses on a network that the specifications of containers ask for."""
    for container in containers:
        for attachment in attachments(container):
            if attachment.network == network and attachment.ipv4_address:
                yield attachment.ipv4_address
