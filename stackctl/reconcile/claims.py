"""What only one running container can have at a time: host ports and fixed addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackctl.model.container import ContainerSpec, JoinNetworks, PublishedPort
from stackctl.model.observed import ObservedContainer
from stackctl.reconcile.match import RUNNING

_ANY = ("", "0.0.0.0", "::")


class Holders:
    """Who has which host ports and addresses now."""

    def __init__(self, containers: Iterable[ObservedContainer]) -> None:
        self._ports: dict[tuple[str, int], list[ObservedContainer]] = {}
        self._addresses: dict[tuple[str, str], ObservedContainer] = {}
        for container in containers:
            if container.state not in RUNNING:
                continue
            for port in container.ports:
                self._ports.setdefault((port.protocol, port.host_port), []).append(container)
            for address in container.networks:
                self._addresses[address.network, address.ipv4] = container

    def in_the_way_of(self, wanted: ContainerSpec) -> list[ObservedContainer]:
        """Return the containers without whose stop one made as ``wanted`` cannot run, by name."""
        found = {container.name: container for container in (*self._by_port(wanted), *self._by_address(wanted))}
        return [found[name] for name in sorted(found)]

    def _by_port(self, wanted: ContainerSpec) -> Iterator[ObservedContainer]:
        for port in wanted.ports:
            # Of a range any free port will do: only a single one can be in somebody's hands.
            if port.host_first and port.host_first == port.host_last:
                for holder in self._ports.get((port.protocol, port.host_first), ()):
                    if _excludes(port, holder):
                        yield holder

    def _by_address(self, wanted: ContainerSpec) -> Iterator[ObservedContainer]:
        if isinstance(wanted.networking, JoinNetworks):
            for attachment in wanted.networking.attachments:
                holder = self._addresses.get((attachment.network, attachment.ipv4_address))
                if holder is not None and attachment.ipv4_address:
                    yield holder


def _excludes(port: PublishedPort, holder: ObservedContainer) -> bool:
    """Whether ``holder``, which has a host port of this number, keeps others from having ``port``."""
    own = holder.spec.ports if holder.spec is not None else ()
    if port.share and any((other.share, other.host_ip) == (port.share, port.host_ip) for other in own):
        return False
    ips = {held.host_ip for held in holder.ports if held.host_port == port.host_first}
    return port.host_ip in _ANY or any(ip in _ANY or ip == port.host_ip for ip in ips)
