"""What the host has already: subnets in use, and a lock so that engines do not choose at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.network.addresses import parse_address, subnet_of
from stackctl.runtime.network.ipam import Taken


@contextmanager
def subnet_lock(path: str) -> Iterator[None]:
    """Hold the machine-wide lock on subnets; from looking until the bridge exists. Waits. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def taken_subnets(netlink: Netlink, *, resolvers: tuple[str, ...] = ()) -> tuple[Taken, ...]:
    """Return every subnet that the host's interfaces and routes use, and the ``resolvers`` it asks.

    Bridges of every engine are among them. Raises NetlinkError.
    """
    names = {link.ifindex: link.name for link in rtnetlink.links(netlink)}
    found = [
        Taken(subnet_of(parse_address(a.address), a.prefix), f"interface {names.get(a.ifindex, '?')}")
        for a in rtnetlink.addresses(netlink)
    ]
    for route in rtnetlink.routes(netlink):
        if route.prefix:
            subnet = subnet_of(parse_address(route.destination), route.prefix)
            by = f"a route through {route.gateway}" if route.gateway else f"interface {names.get(route.ifindex, '?')}"
            found.append(Taken(subnet, by, is_wide=bool(route.gateway)))
    for resolver in resolvers:
        with suppress(ValueError):  # IPv6, or rubbish in resolv.conf
            found.append(Taken(subnet_of(parse_address(resolver), 32), f"name server {resolver}"))
    return tuple(found)
