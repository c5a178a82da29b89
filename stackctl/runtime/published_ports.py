"""The host ports that containers hold while they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stackctl.errors import Conflict
from stackctl.model.container import JoinNetworks, PublishedPort
from stackctl.runtime.network.ports import HostPorts, Ipv6
from stackctl.runtime.record import Container


@dataclass(slots=True)
class _Held:
    """The host ports of one container, and the name they are held under."""

    owner: str
    ports: list[tuple[PublishedPort, int]]


class PublishedPorts:
    """Holds ports for containers, and remembers which."""

    def __init__(self, ipv6: Ipv6) -> None:
        self._ports = HostPorts(ipv6)
        self._held: dict[str, _Held] = {}

    def hold(self, container: Container) -> None:
        """Hold all ports the container publishes or, with PortTaken or PortUnavailable, none of them.

        A container in a namespace of others publishes nothing.
        """
        if container.id in self._held or not isinstance(container.spec.networking, JoinNetworks):
            return
        held = _Held(f"container {container.name}", [])
        try:
            for port in container.spec.ports:
                held.ports.append((port, self._hold(port, held.owner)))
        except BaseException:
            self._ports.release_all(held.owner)
            raise
        self._keep(container, held)

    def _hold(self, port: PublishedPort, owner: str) -> int:
        try:
            return self._ports.hold(port, owner)
        except Conflict as refusal:
            refusal.field = f"ports.{port.host_first}"
            raise

    def hold_again(self, container: Container) -> list[str]:
        """Hold the ports a running container had under an earlier supervisor; return what went wrong.

        Traffic reaches the container also on a port that somebody else has bound meanwhile.
        """
        if not isinstance(container.spec.networking, JoinNetworks):
            return []
        problems = []
        held = _Held(f"container {container.name}", [])
        recorded = list(container.facts.ports)
        for port in container.spec.ports:
            # One that is not recorded was about to be published when that supervisor ended.
            entry = next((entry for entry in recorded if _is_record_of(entry, port)), None)
            number = 0
            if entry is not None:
                recorded.remove(entry)
                number = int(entry[1])
            try:
                number = self._ports.hold(port, held.owner, host_port=number)
            except Conflict as problem:
                problems.append(f"container {container.name}: {problem}")
            if number:
                held.ports.append((port, number))
        self._keep(container, held)
        return problems

    def exchange(self, container: Container, ports: Sequence[PublishedPort]) -> Callable[[], None]:
        """Hold ``ports`` for a container that runs, in place of those it has; return what gives back the others.

        All of it or, with PortTaken or PortUnavailable, nothing.
        """
        if not isinstance(container.spec.networking, JoinNetworks):
            return lambda: None
        before = self._held.pop(container.id, None) or _Held(f"container {container.name}", [])
        known, after = dict(before.ports), _Held(before.owner, [])
        new: list[tuple[PublishedPort, int]] = []
        try:
            for port in ports:
                number = known.get(port) or self._hold(port, after.owner)
                after.ports.append((port, number))
                if port not in known:
                    new.append((port, number))
        except BaseException:
            self._drop(after.owner, new, before.ports)
            self._keep(container, before)
            raise
        self._keep(container, after)
        return lambda: self._drop(after.owner, before.ports, after.ports)

    def _drop(
        self, owner: str, ports: Sequence[tuple[PublishedPort, int]], kept: Sequence[tuple[PublishedPort, int]]
    ) -> None:
        """Give back what is among ``ports`` and not among ``kept``: two container ports may have one host port."""
        places = {(port.protocol, port.host_ip, number) for port, number in kept}
        for protocol, host_ip, number in {(port.protocol, port.host_ip, number) for port, number in ports} - places:
            self._ports.release(owner, protocol, host_ip, number)

    def release(self, container: Container) -> None:
        """Give the container's host ports back."""
        held = self._held.pop(container.id, None)
        if held is not None:
            self._ports.release_all(held.owner)
        container.facts.ports = []

    def of(self, container: Container) -> Sequence[tuple[PublishedPort, int]]:
        """Return what the container holds: each port with its number on the host."""
        held = self._held.get(container.id)
        return held.ports if held is not None else ()

    def _keep(self, container: Container, held: _Held) -> None:
        if held.ports:
            self._held[container.id] = held
        container.facts.ports = [
            (port.host_ip, number, port.container_port, port.protocol) for port, number in held.ports
        ]


def _is_record_of(entry: tuple[str, int, int, str], port: PublishedPort) -> bool:
    host_ip, number, container_port, protocol = entry
    is_same = (host_ip, container_port, protocol) == (port.host_ip, port.container_port, port.protocol)
    return is_same and (not port.host_first or port.host_first <= int(number) <= port.host_last)
