"""retire: take the traffic off a container gently, when others are there to take it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from stackctl.runtime.kernel.netns import open_netns
from stackctl.runtime.kernel.sock_diag import Connection, connections, listeners, open_sock_diag
from stackctl.runtime.record import Container
from stackctl.runtime.world import World

_LONGEST_S: Final = 10.0
_PAUSE_S: Final = 0.02
# Where it cannot be told whether anybody waits, a connection on which something happened so lately is waited for.
_RECENT_MS: Final = 400


def retire(world: World, container: Container, patience_s: float, then: Callable[[], None]) -> None:
    """Take the traffic off the container, and call ``then`` when nobody waits for an answer of it any more.

    Without another container that serves under the same names or ports both happen at once: nothing is gained
    by waiting. Otherwise the traffic stays until another one is ready, if one is about to be, and then requests
    under way are given time to end; all of it for at most ``patience_s``, and 10 seconds.
    ``container.stop_timer`` is what is due next; whoever cancels it must go on by himself.
    """
    deadline = time.monotonic() + min(patience_s, _LONGEST_S)

    def wait_for_heir() -> None:
        if time.monotonic() < deadline and world.networks.is_needed(container):
            container.stop_timer = world.loop.call_later(_PAUSE_S, wait_for_heir)
            return
        heirs = world.networks.heirs(container)
        world.networks.unpublish(container)
        if heirs and time.monotonic() < deadline:
            # Not at once: who has just been told our address is on the way.
            container.stop_timer = world.loop.call_later(_PAUSE_S, lambda: drain(heirs))
        else:
            then()

    def drain(heirs: list[Container]) -> None:
        is_worth_it = any(world.networks.serves(heir) for heir in heirs)
        if is_worth_it and time.monotonic() < deadline and _is_busy(container):
            container.stop_timer = world.loop.call_later(_PAUSE_S, lambda: drain(heirs))
        else:
            then()

    wait_for_heir()


def is_waited_for(connection: Connection) -> bool:
    """Whether the peer of a connection seems to wait for something: it asked last, or not all has arrived."""
    if connection.address.startswith("127.") or connection.address == "::1":
        return False
    if connection.waiting_bytes or connection.received_ms < connection.sent_ms:
        return True
    if connection.received_ms > connection.sent_ms:
        return False
    # Both in one tick of the kernel's clock, or neither ever.
    is_unanswered = connection.received_count > 0 and connection.sent_count == 0
    return is_unanswered or connection.received_ms < _RECENT_MS


def _is_busy(container: Container) -> bool:
    """Whether somebody outside of the container waits for an answer to what he sent it over TCP."""
    try:
        netns = open_netns(container.facts.pid)
    except OSError:
        return False  # it has just ended
    try:
        with open_sock_diag(netns) as netlink:
            served = {listener.port for listener in listeners(netlink)}
            return any(c.port in served and is_waited_for(c) for c in connections(netlink))
    except OSError:
        return False  # a kernel without sock_diag
    finally:
        os.close(netns)
