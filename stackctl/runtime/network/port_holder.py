"""Who holds a port of this host. Source: proc(5), sock_diag(7)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final

from stackctl.model.container import Protocol
from stackctl.runtime.kernel.netlink import NETLINK_SOCK_DIAG, Netlink
from stackctl.runtime.kernel.sock_diag import bound_inodes

_IPPROTO: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
# States of TCP that keep nobody from binding: TIME_WAIT, and connections, which have a listener beside them.
_TCP_LISTEN: Final = "0A"


def holder_of(protocol: Protocol, port: int) -> str:
    """Return who holds the port, "pid 4711 (nginx)", or "" when that cannot be found out.

    For a message only: it takes milliseconds, and the answer may be out of date when it is given.
    """
    inodes = set(_from_proc(protocol, port))
    if not inodes:
        inodes = _bound_only(protocol, port)
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


def _bound_only(protocol: Protocol, port: int) -> set[str]:
    """Sockets that are bound but do not listen, as another engine holds its ports, are not in /proc."""
    try:
        with Netlink(NETLINK_SOCK_DIAG) as netlink:
            return bound_inodes(netlink, _IPPROTO[protocol], port)
    except OSError:
        return set()  # an older kernel, or one without sock_diag


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
