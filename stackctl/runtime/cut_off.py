"""Which running containers nothing reaches, because their bridge was deleted, is down, or was made anew."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress

from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import open_netns
from stackctl.runtime.network_store import Network
from stackctl.runtime.record import Container
from stackctl.runtime.traffic import attachments


def cut_off(containers: Iterable[Container], networks: Iterable[Network], netlink: Netlink) -> list[str]:
    """Return their ids. A bridge that goes leaves its ports behind, on no bridge. Raises NetlinkError."""
    links = rtnetlink.links(netlink)
    loose = {link.ifindex for link in links if link.kind == "veth" and not link.master}
    up = {link.name for link in links if link.is_up}
    dead = {n.spec.name for n in networks if n.bridge is not None and n.bridge.name not in up}
    if not loose and not dead:
        return []
    running = [c for c in containers if c.phase == "running" and c.is_running and attachments(c)]
    return [c.id for c in running if _is_on(dead, c) or _peers(c.facts.pid) & loose]


def _is_on(names: set[str], container: Container) -> bool:
    places: Sequence[str] = [attachment.network for attachment in attachments(container)]
    return not names.isdisjoint(places)


def _peers(pid: int) -> set[int]:
    """Return the numbers, on the host, of the other ends of a process's interfaces; none when it has just ended."""
    with suppress(OSError), ExitStack() as held:
        netns = open_netns(pid)
        held.callback(os.close, netns)
        inside = held.enter_context(Netlink.inside(netns))
        return {link.peer for link in rtnetlink.links(inside) if link.kind == "veth"}
    return set()
