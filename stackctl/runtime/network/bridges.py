"""Bridges for networks, and a container's way onto them."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stackctl.errors import Conflict, ContainerError
from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Message, Netlink, NetlinkError, Reply
from stackctl.runtime.kernel.netns import in_netns
from stackctl.runtime.network.addresses import mac_of

_CONF4: Final = "/proc/sys/net/ipv4/conf"
_CONF6: Final = "/proc/sys/net/ipv6/conf"
_IP_FORWARD: Final = "/proc/sys/net/ipv4/ip_forward"
_NAME_ATTEMPTS: Final = 8
_LINK_LOCAL_PREFIX: Final = 16

# Written in a container's namespace before anything is in it.
# IPv6 off by default, never by "all", which would take ::1 away: with IPv6 on, every new port makes every
# other one receive its multicast, which is quadratic.
# Redirects: the host forwards hairpin traffic out of the interface it came in by, and must not teach
# a container that a host address lives at another container.
_CONTAINER_SYSCTLS: Final = (
    (f"{_CONF6}/default/disable_ipv6", b"1"),
    (f"{_CONF4}/all/accept_redirects", b"0"),
    (f"{_CONF4}/default/accept_redirects", b"0"),
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", b"0"),
    ("/proc/sys/net/ipv4/ping_group_range", b"0 2147483647"),
)


@dataclass(frozen=True, slots=True)
class BridgeInfo:
    """A bridge that is up; ``notices`` are things done to the host that its owner should be told."""

    name: str
    index: int
    gateway: str
    prefix: int
    notices: tuple[str, ...] = ()


class Endpoint(NamedTuple):
    """One interface of a container: on which bridge, as what.

    ``gateway`` is "" on an internal network; the first endpoint that has one carries the default
    route. ``mac`` b"" derives it from the address; ``mtu`` 0 leaves the kernel's choice. ``interface`` ends in ``*``
    for the first free number. One that is isolated only reaches the host, and by it the outside.
    """

    bridge_index: int
    address: str
    prefix: int
    gateway: str = ""
    mac: bytes = b""
    mtu: int = 0
    interface: str = "eth*"
    is_isolated: bool = False
    link_local: tuple[str, ...] = ()


def bridge_name(engine_id: str, network_id: str) -> str:
    """Return the interface name of a network's bridge: 15 characters, the most there can be."""
    return f"sc{engine_id[:6]}-{network_id[:6]}"


def create_bridge(name: str, *, netlink: Netlink, gateway: str, prefix: int, mtu: int = 0) -> BridgeInfo:
    """Make sure the network's bridge exists, is up and has the host's address ``gateway``.

    Safe to repeat, also for a bridge that a former supervisor left; another interface of the name is Conflict. Must
    be called in the host's namespace. Raises NetlinkError, OSError.
    """
    try:
        found = _ask(netlink, [rtnetlink.create_bridge(name, mac=mac_of(gateway), mtu=mtu), rtnetlink.get_link(name)])
    except NetlinkError as failure:
        if failure.errno != errno.EEXIST:
            raise
        found = _ask(netlink, [rtnetlink.get_link(name)])
        if rtnetlink.parse_link(found[-1].body).mac != mac_of(gateway).hex(":"):
            raise Conflict(f"there is an interface {name} that is not ours", code="interface-taken") from failure
    index = rtnetlink.parse_link(found[-1].body).ifindex
    _write_if_there(f"{_CONF6}/{name}/disable_ipv6", b"1")
    # State: packets from 127.0.0.1 to a published port leave by the bridge with their source until
    # masqueraded.
    # Threat: this also lets neighbours on the bridge address 127/8 of the host (CVE-2020-8558).
    # Order: the firewall drops 127/8 from any interface but lo; a container attaches only after it stands.
    _write(f"{_CONF4}/{name}/route_localnet", b"1")
    netlink.transact([rtnetlink.add_address(index, gateway, prefix=prefix), rtnetlink.set_up(index)])
    return BridgeInfo(name, index, gateway, prefix, _enable_forwarding())


def is_well(bridge: BridgeInfo, *, netlink: Netlink) -> bool:
    """Say whether it is up, and nobody has deleted it or made another in its place. Raises NetlinkError."""
    try:
        link = rtnetlink.parse_link(_ask(netlink, [rtnetlink.get_link(bridge.name)])[-1].body)
    except NetlinkError as failure:
        if failure.errno != errno.ENODEV:
            raise
        return False
    return link.ifindex == bridge.index and link.is_up


def remove_bridge(name: str, *, netlink: Netlink) -> None:
    """Remove a bridge; one that is gone is no error. Raises NetlinkError."""
    try:
        netlink.transact([rtnetlink.delete_link(name)])
    except NetlinkError as failure:
        if failure.errno != errno.ENODEV:
            raise


def our_bridges(engine_id: str, *, netlink: Netlink) -> tuple[rtnetlink.Link, ...]:
    """Return the bridges of this engine that exist, wanted or not. Raises NetlinkError."""
    prefix = f"sc{engine_id[:6]}-"
    return tuple(k for k in rtnetlink.links(netlink) if k.kind == "bridge" and k.name.startswith(prefix))


def attach(
    netns_fd: int, endpoints: Sequence[Endpoint], *, netlink: Netlink, sysctls: Sequence[tuple[str, str]] = ()
) -> None:
    """Give a new network namespace its loopback and one interface, eth0, eth1, …, for each endpoint.

    Call it once per namespace, with ``netlink`` in the host's. ``sysctls`` are (``net.…``, value), written
    once the interfaces exist. Nothing needs undoing: all of it ends with the namespace. Raises NetlinkError,
    OSError, and ContainerError for a sysctl.
    """
    with in_netns(netns_fd):
        for path, value in _CONTAINER_SYSCTLS:
            _write_if_there(path, value)
        inside = Netlink()
    with inside:
        names = _interfaces(endpoints)
        for name, endpoint in zip(names, endpoints, strict=True):
            _create_port(netlink, netns_fd, endpoint, name)
        inside.transact(_interior(inside, endpoints, names))
    if sysctls:
        with in_netns(netns_fd):
            for name, text in sysctls:
                _set_sysctl(name, text)


def attach_more(netns_fd: int, endpoint: Endpoint, *, netlink: Netlink) -> None:
    """Give a namespace that is in use one interface more, under the first free name of eth0, eth1, ….

    Its gateway becomes the default route where there is none. Raises NetlinkError, OSError.
    """
    with in_netns(netns_fd):
        inside = Netlink()
    with inside:
        taken = {link.name for link in rtnetlink.links(inside)}
        interface = _free_interface(endpoint.interface, taken)
        _create_port(netlink, netns_fd, endpoint, interface)
        index = next(link.ifindex for link in rtnetlink.links(inside) if link.name == interface)
        address = rtnetlink.add_address(index, endpoint.address, prefix=endpoint.prefix)
        inside.transact([address, *_link_local(index, endpoint), rtnetlink.set_up(index)])
        _ensure_way_out(inside, endpoint.gateway)


def detach(netns_fd: int, address: str, *, gateway: str) -> None:
    """Remove the interface that has ``address``; without another way out, ``gateway`` (unless "") is the new one.

    One that is gone is no error. Raises NetlinkError, OSError.
    """
    with in_netns(netns_fd):
        inside = Netlink()
    with inside:
        indexes = {found.ifindex for found in rtnetlink.addresses(inside) if found.address == address}
        for link in rtnetlink.links(inside):
            if link.ifindex in indexes:
                remove_bridge(link.name, netlink=inside)
        _ensure_way_out(inside, gateway)


def _interfaces(endpoints: Sequence[Endpoint]) -> list[str]:
    found: list[str] = []
    written = {endpoint.interface for endpoint in endpoints}
    for endpoint in endpoints:
        found.append(_free_interface(endpoint.interface, {*found, *written}))
    return found


def _free_interface(wanted: str, taken: set[str]) -> str:
    if not wanted.endswith("*"):
        return wanted
    return next(name for number in itertools.count() if (name := f"{wanted[:-1]}{number}") not in taken)


def _ensure_way_out(inside: Netlink, gateway: str) -> None:
    has_default = any(route.prefix == 0 and route.gateway for route in rtnetlink.routes(inside))
    if gateway and not has_default:
        inside.transact([rtnetlink.add_default_route(gateway)])


def _create_port(netlink: Netlink, netns_fd: int, endpoint: Endpoint, interface: str) -> None:
    mac = endpoint.mac or mac_of(endpoint.address)
    for attempt in range(_NAME_ATTEMPTS):
        # Random: the interface of a container that just ended may still be around under its old name.
        name = f"sv{os.urandom(6).hex()}"
        veth = rtnetlink.create_veth(
            name, interface, netns_fd=netns_fd, master=endpoint.bridge_index, peer_mac=mac, mtu=endpoint.mtu
        )
        try:
            port = rtnetlink.set_isolated(name) if endpoint.is_isolated else rtnetlink.set_hairpin(name)
            found = _ask(netlink, [veth, port, rtnetlink.get_link(name)])
        except NetlinkError as failure:
            if failure.errno != errno.EEXIST or attempt == _NAME_ATTEMPTS - 1:
                raise
            continue
        # A restarted container has the MAC it had before; until the kernel has cleared the old port away, the
        # bridge would go on sending there.
        netlink.transact([rtnetlink.place_mac(rtnetlink.parse_link(found[-1].body).ifindex, mac)])
        return


def _interior(inside: Netlink, endpoints: Sequence[Endpoint], names: Sequence[str]) -> list[Message]:
    messages = [rtnetlink.set_up(rtnetlink.LOOPBACK_INDEX)]
    if not endpoints:
        return messages
    # Not 2, 3, …: some kernels put fallback tunnel devices into every new namespace.
    index_of = {link.name: link.ifindex for link in rtnetlink.links(inside)}
    for name, endpoint in zip(names, endpoints, strict=True):
        index = index_of[name]
        messages.append(rtnetlink.add_address(index, endpoint.address, prefix=endpoint.prefix))
        messages += _link_local(index, endpoint)
        messages.append(rtnetlink.set_up(index))
    gateway = next((endpoint.gateway for endpoint in endpoints if endpoint.gateway), "")
    if gateway:
        messages.append(rtnetlink.add_default_route(gateway))
    return messages


def _link_local(index: int, endpoint: Endpoint) -> list[Message]:
    return [rtnetlink.add_address(index, address, prefix=_LINK_LOCAL_PREFIX) for address in endpoint.link_local]


def _ask(netlink: Netlink, messages: Sequence[Message]) -> list[Reply]:
    replies = netlink.transact(messages)
    if not replies:
        raise NetlinkError(errno.ENODEV, os.strerror(errno.ENODEV), messages[-1].title)
    return replies


def _enable_forwarding() -> tuple[str, ...]:
    with open(_IP_FORWARD, "rb") as file:
        if file.read().strip() == b"1":
            return ()
    _write(_IP_FORWARD, b"1")
    return ("switched on IP forwarding of this host (net.ipv4.ip_forward), which container networks need",)


def _set_sysctl(name: str, text: str) -> None:
    try:
        _write(_sysctl_path(name), text.encode())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"sysctl {name} cannot be set to {text!r}: {reason}"
        raise ContainerError(message, code="container-start", field=f"sysctls.{name}") from error


def _sysctl_path(name: str) -> str:
    # As sysctl(8): dots separate, and a slash stands for a dot inside a part (net.ipv4.conf.eth0/1.…).
    if not name.startswith("net.") or ".." in name or "/../" in name:
        raise ValueError(f"sysctl {name!r} does not belong to a network namespace")
    return "/proc/sys/" + name.translate({ord("."): "/", ord("/"): "."})


def _write(path: str, value: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)


def _write_if_there(path: str, value: bytes) -> None:
    try:
        _write(path, value)
    except FileNotFoundError:
        return  # the kernel was built without it (IPv6, say)
