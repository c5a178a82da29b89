"""Links, addresses, routes: the rtnetlink messages the runtime needs.

Functions that return a Message only build it; send it with ``Netlink.transact``, several at a time.
Source: rtnetlink(7), include/uapi/linux/{if_link,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from stackctl.runtime.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attr,
    attributes,
    nest,
    text,
    u32,
)

_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26
_RTM_NEWNEIGH: Final = 28

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_INFO_SLAVE_DATA: Final = 5
_IFLA_BRPORT_MODE: Final = 4
_IFLA_BRPORT_ISOLATED: Final = 33
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_TABLE: Final = 15
_NDA_LLADDR: Final = 2
_NTF_MASTER: Final = 4
_NUD_NOARP: Final = 0x40
_IFF_UP: Final = 1
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RTN_UNICAST: Final = 1
_IFNAMSIZ: Final = 16

_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
_UINT: Final = struct.Struct("=I")

LOOPBACK_INDEX: Final = 1


class Link(NamedTuple):
    """A network interface; ``kind`` is "bridge", "veth", … or "" for hardware and loopback.

    ``peer`` is the number of a veth's other end, wherever that is.
    """

    ifindex: int
    name: str
    kind: str
    mac: str
    mtu: int
    master: int
    is_up: bool
    peer: int = 0


class Address(NamedTuple):
    """An IPv4 address of an interface."""

    ifindex: int
    address: str
    prefix: int


class Route(NamedTuple):
    """An IPv4 route; destination "0.0.0.0" with prefix 0 is the default; gateway "" means no gateway."""

    destination: str
    prefix: int
    gateway: str
    ifindex: int
    table: int


def create_bridge(name: str, *, mac: bytes, mtu: int = 0) -> Message:
    """A bridge, down. A MAC given here stays; otherwise it would follow the ports and break neighbours'
    caches.
    """
    body = _IFINFO.pack(0, 0, 0, 0, 0) + _name(name) + attr(_IFLA_ADDRESS, mac)
    if mtu:
        body += u32(_IFLA_MTU, mtu)
    body += nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"))
    return Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create bridge {name}")


def create_veth(
    name: str, peer: str, *, netns_fd: int, master: int = 0, peer_mac: bytes = b"", mtu: int = 0
) -> Message:
    """A pair: ``name`` here, up, on the bridge ``master``; ``peer`` in the namespace ``netns_fd``, down.

    The peer cannot be up from the start (ENOTCONN: it is made before its partner).
    """
    size = u32(_IFLA_MTU, mtu) if mtu else b""
    far = _IFINFO.pack(0, 0, 0, 0, 0) + _name(peer) + u32(_IFLA_NET_NS_FD, netns_fd) + size
    if peer_mac:
        far += attr(_IFLA_ADDRESS, peer_mac)
    body = _IFINFO.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _name(name) + size
    if master:
        body += u32(_IFLA_MASTER, master)
    pair = nest(_IFLA_INFO_DATA, nest(_VETH_INFO_PEER, far))
    body += nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth"), pair)
    return Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create veth {name} to {peer}")


def set_hairpin(port: str) -> Message:
    """Let the bridge send a frame back out of the ``port`` it came from.

    A container that calls its own published port needs this wherever br_netfilter is active.
    """
    mode = nest(_IFLA_INFO_SLAVE_DATA, attr(_IFLA_BRPORT_MODE, b"\1"))
    body = _IFINFO.pack(0, 0, 0, 0, 0) + _name(port)
    body += nest(_IFLA_LINKINFO, text(_IFLA_INFO_SLAVE_KIND, "bridge"), mode)
    return Message(_RTM_NEWLINK, 0, body, f"set hairpin mode of {port}")


def set_isolated(port: str) -> Message:
    """Let the bridge carry no frame between the ``port`` and others that are isolated, too (Linux 4.18)."""
    mode = nest(_IFLA_INFO_SLAVE_DATA, attr(_IFLA_BRPORT_ISOLATED, b"\1"))
    body = _IFINFO.pack(0, 0, 0, 0, 0) + _name(port)
    body += nest(_IFLA_LINKINFO, text(_IFLA_INFO_SLAVE_KIND, "bridge"), mode)
    return Message(_RTM_NEWLINK, 0, body, f"isolate port {port}")


def place_mac(index: int, mac: bytes) -> Message:
    """Tell the bridge that ``mac`` is behind its port ``index``, wherever it believed it before.

    The entry does not age (a learned one is refused while the port has no carrier) but moves when the MAC
    does.
    """
    body = _NEIGHBOUR.pack(socket.AF_BRIDGE, index, _NUD_NOARP, _NTF_MASTER, 0) + attr(_NDA_LLADDR, mac)
    return Message(_RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, "place MAC on bridge port")


def set_up(index: int) -> Message:
    """Bring an interface up."""
    return Message(_RTM_NEWLINK, 0, _IFINFO.pack(0, 0, index, _IFF_UP, _IFF_UP), f"bring up interface {index}")


def rename(index: int, name: str) -> Message:
    """Rename an interface, which must be down on kernels before 6.2."""
    return Message(_RTM_NEWLINK, 0, _IFINFO.pack(0, 0, index, 0, 0) + _name(name), f"rename interface to {name}")


def add_address(index: int, address: str, *, prefix: int) -> Message:
    """Give an interface an IPv4 address; an existing one is no error."""
    local = socket.inet_pton(socket.AF_INET, address)
    body = _IFADDR.pack(socket.AF_INET, prefix, 0, 0, index) + attr(_IFA_LOCAL, local) + attr(_IFA_ADDRESS, local)
    body += attr(_IFA_BROADCAST, _broadcast(local, prefix))
    return Message(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, f"add address {address}/{prefix}")


def add_default_route(gateway: str) -> Message:
    """Send everything without a better route through ``gateway``."""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
    body += attr(_RTA_GATEWAY, socket.inet_pton(socket.AF_INET, gateway))
    return Message(_RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"add default route via {gateway}")


def add_route(destination: str, prefix: int, *, gateway: str) -> Message:
    """Reach ``destination``/``prefix`` through ``gateway``."""
    body = _ROUTE.pack(socket.AF_INET, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
    body += attr(_RTA_DST, socket.inet_pton(socket.AF_INET, destination))
    body += attr(_RTA_GATEWAY, socket.inet_pton(socket.AF_INET, gateway))
    return Message(_RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"add route to {destination}/{prefix}")


def delete_link(name: str) -> Message:
    """Delete an interface. A veth should rather die with its namespace: deleting one takes about 34 ms."""
    return Message(_RTM_DELLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + _name(name), f"delete interface {name}")


def get_link(name: str) -> Message:
    """Ask for one interface; read the reply with ``parse_link``."""
    return Message(_RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + _name(name), f"find interface {name}")


def links(netlink: Netlink) -> list[Link]:
    """Return every interface. Raises NetlinkError."""
    message = Message(_RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0), "list interfaces")
    return [parse_link(reply.body) for reply in netlink.dump(message)]


def addresses(netlink: Netlink) -> list[Address]:
    """Return every IPv4 address. Raises NetlinkError."""
    message = Message(_RTM_GETADDR, 0, _IFADDR.pack(socket.AF_INET, 0, 0, 0, 0), "list addresses")
    found: list[Address] = []
    for reply in netlink.dump(message):
        family, prefix, _, _, index = _IFADDR.unpack_from(reply.body)
        values = dict(attributes(reply.body, _IFADDR.size))
        local = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS, b""))
        if family == socket.AF_INET and len(local) == 4:
            found.append(Address(index, socket.inet_ntoa(local), prefix))
    return found


def routes(netlink: Netlink) -> list[Route]:
    """Return the unicast IPv4 routes of every table. Raises NetlinkError."""
    message = Message(_RTM_GETROUTE, 0, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")
    found: list[Route] = []
    for reply in netlink.dump(message):
        family, prefix, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(reply.body)
        if family != socket.AF_INET or kind != _RTN_UNICAST:
            continue
        values = dict(attributes(reply.body, _ROUTE.size))
        gateway = values.get(_RTA_GATEWAY, b"")
        found.append(
            Route(
                socket.inet_ntoa(values.get(_RTA_DST, b"\0\0\0\0")),
                prefix,
                socket.inet_ntoa(gateway) if len(gateway) == 4 else "",
                _uint(values.get(_RTA_OIF)),
                _uint(values.get(_RTA_TABLE)) or table,
            )
        )
    return found


def parse_link(body: bytes) -> Link:
    """Read an answer about an interface."""
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    values = dict(attributes(body, _IFINFO.size))
    details = dict(attributes(values.get(_IFLA_LINKINFO, b"")))
    return Link(
        index,
        values.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(),
        details.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        values.get(_IFLA_ADDRESS, b"").hex(":"),
        _uint(values.get(_IFLA_MTU)),
        _uint(values.get(_IFLA_MASTER)),
        bool(flags & _IFF_UP),
        _uint(values.get(_IFLA_LINK)),
    )


def _uint(data: bytes | None) -> int:
    return int(_UINT.unpack(data)[0]) if data is not None and len(data) == 4 else 0


def _name(name: str) -> bytes:
    if not 0 < len(name.encode()) < _IFNAMSIZ:
        raise ValueError(f"interface name {name!r} is empty or longer than 15 bytes")
    return text(_IFLA_IFNAME, name)


def _broadcast(local: bytes, prefix: int) -> bytes:
    return (int.from_bytes(local, "big") | ((1 << (32 - prefix)) - 1)).to_bytes(4, "big")
