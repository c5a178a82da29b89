"""Host ports, held by binding them: others then get "address in use", and we can say who was there first.

Those of IPv4 never listen; the firewall redirects packets before they get here. Where it does not, because no
replica is ready, the kernel refuses the connection.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from stackctl.errors import Conflict
from stackctl.model.container import Protocol as PortProtocol
from stackctl.model.container import PublishedPort
from stackctl.runtime.network.port_holder import holder_of

_EPHEMERAL_ATTEMPTS: Final = 64
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class PortTaken(Conflict):
    """A host port is in use; ``holder`` says by whom ("pid 4711 (nginx)", "container web-1") or is ""."""

    code = "port-taken"

    def __init__(self, host_ip: str, port: int, protocol: PortProtocol, holder: str) -> None:
        self.host_ip, self.port, self.protocol, self.holder = host_ip, port, protocol, holder
        place = f"{_bracketed(host_ip or '0.0.0.0')}:{port}" + ("/udp" if protocol == "udp" else "")
        super().__init__(
            f"{place} is held by {holder or 'another program'}",
            hint="free the port, or publish on another one",
        )


class PortUnavailable(Conflict):
    """A host port cannot be had for another reason than being in use."""

    code = "port-unavailable"


@dataclass(slots=True)
class _Hold:
    sockets: list[socket.socket]
    port: int
    protocol: PortProtocol
    host_ip: str
    share: str
    owners: list[str] = field(default_factory=list)


class Ipv6(Protocol):
    """What takes connections over IPv6, where the firewall leads nobody anywhere."""

    def listen(self, bound: socket.socket, host_ip: str) -> None: ...
    def forget(self, bound: socket.socket) -> None: ...


class HostPorts:
    """The host ports this engine holds. To be used in the host's network namespace."""

    __slots__ = ("_holds", "_ipv6")

    def __init__(self, ipv6: Ipv6 | None = None) -> None:
        self._holds: list[_Hold] = []
        self._ipv6 = ipv6

    def hold(self, port: PublishedPort, owner: str, *, host_port: int = 0) -> int:
        """Hold a host port for ``owner``, in words ("container web-1"), and return its number.

        With ``host_port`` exactly that one, as after a restart of ours; otherwise the first free one of the
        port's range. A port that its share group holds already is joined. Asking twice gives the same
        port. Raises PortTaken for the first port of the range when none is free, PortUnavailable.
        """
        first, last = (host_port, host_port) if host_port else (port.host_first, port.host_last)
        joined = self._join(port, owner, range(first, last + 1) if first else range(65536))
        if joined:
            return joined
        if not first:
            return self._hold_any(port, owner)
        refusal: PortTaken | None = None
        for number in range(first, last + 1):
            try:
                return self._bind(port, owner, number)
            except PortTaken as taken:
                refusal = refusal or taken
        if refusal is None:
            raise PortUnavailable(f"{first}-{last} is no range of ports")
        if last > first:
            refusal.message = f"no port from {first} to {last} is free: {refusal.message}"
            refusal.args = (refusal.message,)
        raise refusal

    def release_all(self, owner: str) -> None:
        """Let go of all that ``owner`` holds; ports it shared stay with the others."""
        for hold in list(self._holds):
            self._let_go(hold, owner)

    def release(self, owner: str, protocol: PortProtocol, host_ip: str, number: int) -> None:
        """Let go of one port, if ``owner`` holds it; one it shared stays with the others."""
        for hold in list(self._holds):
            if (hold.protocol, hold.host_ip, hold.port) == (protocol, host_ip, number):
                self._let_go(hold, owner)

    def _let_go(self, hold: _Hold, owner: str) -> None:
        if owner in hold.owners:
            hold.owners.remove(owner)
            if not hold.owners:
                self._holds.remove(hold)
                self._close(hold)

    def close(self) -> None:
        """Let go of everything."""
        for hold in self._holds:
            self._close(hold)
        self._holds.clear()

    def _close(self, hold: _Hold) -> None:
        for held in hold.sockets:
            if self._ipv6 is not None:
                self._ipv6.forget(held)
            held.close()

    def _join(self, port: PublishedPort, owner: str, numbers: range) -> int:
        for hold in self._holds:
            is_same = hold.protocol == port.protocol and hold.host_ip == port.host_ip and hold.port in numbers
            if is_same and owner in hold.owners and len(numbers) == 1:
                return hold.port
            if is_same and port.share and hold.share == port.share:
                if owner not in hold.owners:
                    hold.owners.append(owner)
                return hold.port
        return 0

    def _hold_any(self, port: PublishedPort, owner: str) -> int:
        for _ in range(_EPHEMERAL_ATTEMPTS):
            try:
                return self._bind(port, owner, 0)
            except PortTaken:
                continue  # free on one address family, taken on the other
        raise PortUnavailable("no free host port was found")

    def _bind(self, port: PublishedPort, owner: str, number: int) -> int:
        try:
            sockets = _bind_all(port, number, is_reusing=False)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise PortUnavailable(_explanation(port, number, failure)) from failure
            sockets = self._bind_after_another(port, number, failure)
        number = sockets[0].getsockname()[1]
        self._holds.append(_Hold(sockets, number, port.protocol, port.host_ip, port.share, [owner]))
        for held in sockets:
            if self._ipv6 is not None and held.family == socket.AF_INET6 and port.protocol == "tcp":
                self._ipv6.listen(held, port.host_ip)
        return number

    def _bind_after_another(self, port: PublishedPort, number: int, failure: OSError) -> list[socket.socket]:
        """Connections of a server that has just stopped keep a port for a minute, except from those who
        insist.
        """
        holder = self._holder(port, number) if number else ""
        if number and not holder and port.protocol == "tcp":
            try:
                return _bind_all(port, number, is_reusing=True)
            except OSError:
                pass
        raise PortTaken(port.host_ip, number, port.protocol, holder) from failure

    def _holder(self, port: PublishedPort, number: int) -> str:
        for hold in self._holds:
            if hold.port == number and hold.protocol == port.protocol:
                return hold.owners[0]
        return holder_of(port.protocol, number)


def _places(host_ip: str) -> Iterator[tuple[socket.AddressFamily, str]]:
    if not host_ip:
        yield socket.AF_INET, "0.0.0.0"
        if _has_ipv6():
            yield socket.AF_INET6, "::"
    elif ":" in host_ip:
        yield socket.AF_INET6, host_ip.strip("[]")
    else:
        yield socket.AF_INET, host_ip


def _bind_all(port: PublishedPort, number: int, *, is_reusing: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in _places(port.host_ip):
            bound = socket.socket(family, _KINDS[port.protocol] | socket.SOCK_CLOEXEC)
            sockets.append(bound)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port.protocol == "udp":
                # Nobody reads here; what comes while no replica is ready shall not pile up.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, is_reusing)
            bound.bind((address, number))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            number = bound.getsockname()[1]
    except OSError:
        _close(sockets)
        raise
    return sockets


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _explanation(port: PublishedPort, number: int, failure: OSError) -> str:
    place = f"{_bracketed(port.host_ip or '0.0.0.0')}:{number}"
    if failure.errno == errno.EADDRNOTAVAIL:
        return f"cannot publish on {place}: {port.host_ip} is no address of this host"
    return f"cannot publish on {place}: {failure.strerror}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _close(sockets: list[socket.socket]) -> None:
    for held in sockets:
        held.close()
