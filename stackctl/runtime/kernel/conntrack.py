"""Connection tracking entries: find and delete them. Source: net/netfilter/nf_conntrack_netlink.c."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from stackctl.runtime.kernel.netlink import Message, Netlink, NetlinkError, attr, attributes, nest

UDP: Final = 17

_SUBSYSTEM: Final = 1
_GET: Final = 1
_DELETE: Final = 2
_TUPLE_ORIG: Final = 1
_TUPLE_REPLY: Final = 2
_STATUS: Final = 3
_FILTER: Final = 25
_IPS_SEEN_REPLY: Final = 2
_FILTER_BY_PROTOCOL: Final = 1 << 3
_TUPLE_IP: Final = 1
_TUPLE_PROTO: Final = 2


class Flow(NamedTuple):
    """One tracked IPv4 flow.

    ``destination`` is where its first packet said it was going, ``answered_by`` who answers or would,
    ``original`` the flow's name to the kernel.
    """

    destination: str
    destination_port: int
    answered_by: str
    is_answered: bool
    original: bytes


def flows(netlink: Netlink, protocol: int) -> list[Flow]:
    """Return the tracked IPv4 flows of a protocol. ``netlink``: of NETLINK_NETFILTER. Raises NetlinkError."""
    # The kernel leaves other protocols out since Linux 5.8.
    wanted = nest(_TUPLE_ORIG, nest(_TUPLE_PROTO, attr(1, bytes((protocol,)))))
    only = nest(_FILTER, attr(1, struct.pack("=I", _FILTER_BY_PROTOCOL)), attr(2, struct.pack("=I", 0)))
    message = Message(_SUBSYSTEM << 8 | _GET, 0, _header() + wanted + only, "list tracked flows")
    found: list[Flow] = []
    for reply in netlink.dump(message):
        values = dict(attributes(reply.body, 4))
        original, answer = values.get(_TUPLE_ORIG, b""), values.get(_TUPLE_REPLY, b"")
        parts, ports = _addresses(original), _ports(original)
        if ports.get(1) == bytes((protocol,)) and len(parts.get(2, b"")) == 4:
            to_port = int.from_bytes(ports.get(3, b""), "big")
            source = _addresses(answer).get(1, b"\0\0\0\0")
            is_answered = bool(int.from_bytes(values.get(_STATUS, b""), "big") & _IPS_SEEN_REPLY)
            found.append(Flow(socket.inet_ntoa(parts[2]), to_port, socket.inet_ntoa(source), is_answered, original))
    return found


def forget(netlink: Netlink, gone: Iterable[Flow]) -> None:
    """Delete flows; the next packet of each is looked at afresh. Those that ended already are no error."""
    for flow in gone:
        body = _header() + nest(_TUPLE_ORIG, flow.original)
        try:
            netlink.transact([Message(_SUBSYSTEM << 8 | _DELETE, 0, body, "forget tracked flow")])
        except NetlinkError as failure:
            if failure.errno != errno.ENOENT:
                raise


def _header() -> bytes:
    return struct.pack(">BBH", socket.AF_INET, 0, 0)


def _addresses(whole: bytes) -> dict[int, bytes]:
    return dict(attributes(dict(attributes(whole)).get(_TUPLE_IP, b"")))


def _ports(whole: bytes) -> dict[int, bytes]:
    return dict(attributes(dict(attributes(whole)).get(_TUPLE_PROTO, b"")))
