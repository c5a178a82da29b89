"""The host ports that containers hold while they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackctl.errors import Conflict
from stackctl.model.container import JoinNetworks, PublishedPort
from stackctl.runtime.network.ports import HostPorts
from stackctl.runtime.record import Container


@dataclass(slots=True)
class _Held:
    """The host ports of one container, and the name they are held under."""

    owner: str
    ports: list[tuple[PublishedPort, int]]


class PublishedPorts:
    """Holds ports for containers, and remembers which."""

    def __init__(self) -> None:
        self._ports = HostPorts()
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
            self._ports.release(held.owner)
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
        # They were recorded in the order of the specification.
        for port, (_, number, *_) in zip(container.spec.ports, container.facts.ports, strict=False):
            try:
                self._ports.hold(port, held.owner, host_port=int(number))
            except Conflict as problem:
                problems.append(f"container {container.name}: {problem}")
            held.ports.append((port, int(number)))
        self._keep(container, held)
        return problems

    def release(self, container: Container) -> None:
        """Give the container's host ports back."""
        held = self._held.pop(container.id, None)
        if held is not None:
            self._ports.release(held.owner)
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
