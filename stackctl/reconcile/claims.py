"""What only one running container can have at a time: host ports and fixed addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from stackctl.model.container import ContainerSpec, JoinNetworks, PublishedPort
from stackctl.model.observed import ObservedContainer, ObservedPort
from stackctl.reconcile.match import RUNNING

_ANY: Final = ("", "0.0.0.0", "::")
_Group: TypeAlias = tuple[str, str]
"""Who may have a host port together: a share, and an address of the host."""


class Holders:
    """Who has which host ports and addresses now."""

    def __init__(self, containers: Iterable[ObservedContainer]) -> None:
        self._ports: dict[tuple[str, int], dict[_Group, list[ObservedContainer]]] = {}
        self._addresses: dict[tuple[str, str], ObservedContainer] = {}
        for container in containers:
            if container.state not in RUNNING:
                continue
            for port in container.ports:
                groups = self._ports.setdefault((port.protocol, port.host_port), {})
                groups.setdefault((_share(container, port), port.host_ip), []).append(container)
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
                for group, holders in self._ports.get((port.protocol, port.host_first), {}).items():
                    if _excludes(port, group):
                        yield from holders

    def _by_address(self, wanted: ContainerSpec) -> Iterator[ObservedContainer]:
        if isinstance(wanted.networking, JoinNetworks):
            for attachment in wanted.networking.attachments:
                holder = self._addresses.get((attachment.network, attachment.ipv4_address))
                if holder is not None and attachment.ipv4_address:
                    yield holder


def _share(container: ObservedContainer, port: ObservedPort) -> str:
    """Return the share group in which a container has a host port."""
    own = container.spec.ports if container.spec is not None else ()
    same = (held for held in own if held.host_first == port.host_port and held.host_ip == port.host_ip)
    return next((held.share for held in same if held.protocol == port.protocol), "")


def _excludes(port: PublishedPort, group: _Group) -> bool:
    """Whether those who have a host port of this number together keep others from having ``port``."""
    _, host_ip = group
    if port.share and group == (port.share, port.host_ip):
        return False
    return port.host_ip in _ANY or host_ip in _ANY or host_ip == port.host_ip
