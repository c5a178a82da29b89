"""Sockets of a network namespace, asked of the kernel. Source: sock_diag(7), include/uapi/linux/inet_diag.h."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from stackctl.runtime.kernel.netlink import NETLINK_SOCK_DIAG, Message, Netlink, attributes

_BY_FAMILY: Final = 20
_REQUEST: Final = struct.Struct("=BBBxI48x")
_MESSAGE_BYTES: Final = 72
_INFO: Final = 2
_ESTABLISHED, _FIN_WAIT_1, _CLOSE_WAIT, _LAST_ACK, _LISTEN, _CLOSING = 1, 4, 8, 9, 10, 11
# Bound, and neither listening nor connected; Linux 6.8.
_BOUND_INACTIVE: Final = 13
# Where in struct tcp_info the times in milliseconds are, and the counts of segments with data.
_LAST_SENT: Final = 44
_LAST_RECEIVED: Final = 52
_SEGMENTS_IN: Final = 152
_SEGMENTS_OUT: Final = 156


class Listener(NamedTuple):
    """A TCP socket that takes connections."""

    address: str
    port: int


class Connection(NamedTuple):
    """A TCP connection.

    ``waiting_bytes`` were received and not yet read, or sent and not yet acknowledged. The times are how
    long ago data was last received and sent, to the kernel's tick of up to 10 ms; while there was none, how long
    ago the connection was made. The counts are of segments with data. ``peer`` is the other end.
    """

    address: str
    port: int
    waiting_bytes: int
    received_ms: int
    sent_ms: int
    received_count: int
    sent_count: int
    peer: str = ""


def listeners(netlink: Netlink) -> list[Listener]:
    """Return the TCP sockets that listen. ``netlink``: of NETLINK_SOCK_DIAG. Raises NetlinkError."""
    return [Listener(*_local(body)) for body in _dump(netlink, socket.IPPROTO_TCP, 1 << _LISTEN)]


def connections(netlink: Netlink) -> list[Connection]:
    """Return the TCP connections over which something may yet be sent. Raises NetlinkError."""
    states = sum(1 << state for state in (_ESTABLISHED, _FIN_WAIT_1, _CLOSE_WAIT, _LAST_ACK, _CLOSING))
    found = []
    for body in _dump(netlink, socket.IPPROTO_TCP, states, extensions=1 << _INFO - 1):
        received, sent = struct.unpack_from("=II", body, 56)
        info = dict(attributes(body, _MESSAGE_BYTES)).get(_INFO, b"")
        address, port = _local(body)
        found.append(
            Connection(
                address,
                port,
                received + sent,
                _number(info, _LAST_RECEIVED),
                _number(info, _LAST_SENT),
                _number(info, _SEGMENTS_IN),
                _number(info, _SEGMENTS_OUT),
                _peer(body),
            )
        )
    return found


def bound_inodes(netlink: Netlink, protocol: int, port: int) -> set[str]:
    """Return the inodes of sockets that only hold a port: they are not in /proc. Raises NetlinkError."""
    bodies = _dump(netlink, protocol, 1 << _BOUND_INACTIVE)
    return {str(struct.unpack_from("=I", body, 68)[0]) for body in bodies if _local(body)[1] == port}


def open_sock_diag(netns_fd: int) -> Netlink:
    """Open a socket for the questions here in another network namespace. Raises OSError."""
    return Netlink.inside(netns_fd, NETLINK_SOCK_DIAG)


def _dump(netlink: Netlink, protocol: int, states: int, *, extensions: int = 0) -> Iterator[bytes]:
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _REQUEST.pack(family, protocol, extensions, states)
        for reply in netlink.dump(Message(_BY_FAMILY, 0, request, "list sockets")):
            yield reply.body


def _local(body: bytes) -> tuple[str, int]:
    port = int.from_bytes(body[4:6], "big")
    if body[0] == socket.AF_INET:
        return socket.inet_ntoa(body[8:12]), port
    return socket.inet_ntop(socket.AF_INET6, body[8:24]).removeprefix("::ffff:"), port


def _peer(body: bytes) -> str:
    return f"{body[24:40].hex()}:{int.from_bytes(body[6:8], 'big')}"


def _number(info: bytes, offset: int) -> int:
    return int(struct.unpack_from("=I", info, offset)[0]) if len(info) >= offset + 4 else 0
