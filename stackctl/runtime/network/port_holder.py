"""Who holds a port of this host. Source: proc(5), sock_diag(7)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from stackctl.model.container import Protocol
from stackctl.runtime.kernel.netlink import NETLINK_SOCK_DIAG, Message, Netlink

_IPPROTO: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_SOCK_DIAG_BY_FAMILY: Final = 20
# States of TCP that keep nobody from binding: TIME_WAIT, and connections, which have a listener beside them.
_TCP_LISTEN: Final = "0A"
_BOUND_INACTIVE: Final = 1 << 13
_INODE_OFFSET: Final = 68


def holder_of(protocol: Protocol, port: int) -> str:
    """Return who holds the port, "pid 4711 (nginx)", or "" when that cannot be found out.

    For a message only: it takes milliseconds, and the answer may be out of date when it is given.
    """
    inodes = set(_from_proc(protocol, port))
    if not inodes:
        inodes = set(_bound_only(protocol, port))
    return _owner(inodes) if inodes else ""


def _from_proc(protocol: Protocol, port: int) -> Iterator[str]:
    suffix = f":{port:04X}"
    for name in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
                lines = file.readlines()[1:]
        except FileNotFoundError:
            continue  # no IPv6
        for line in lines:
            fields = line.split()
            if fields[1].endswith(suffix) and (protocol == "udp" or fields[3] == _TCP_LISTEN):
                yield fields[9]


def _bound_only(protocol: Protocol, port: int) -> Iterator[str]:
    """Sockets that are bound but do not listen, as another engine holds its ports, are not in /proc; Linux
    6.8.
    """
    try:
        with Netlink(NETLINK_SOCK_DIAG) as netlink:
            for family in (socket.AF_INET, socket.AF_INET6):
                request = struct.pack("=BBBxI48x", family, _IPPROTO[protocol], 0, _BOUND_INACTIVE)
                for reply in netlink.dump(Message(_SOCK_DIAG_BY_FAMILY, 0, request, "find socket")):
                    if struct.unpack_from(">H", reply.body, 4)[0] == port:
                        yield str(struct.unpack_from("=I", reply.body, _INODE_OFFSET)[0])
    except OSError:
        return  # an older kernel, or one without sock_diag


def _owner(inodes: set[str]) -> str:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                    return f"pid {pid} ({_command(pid)})"
        except OSError:
            continue  # it ended while we looked
    return ""


def _command(pid: str) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()
