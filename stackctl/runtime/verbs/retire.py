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


def retire(world: World, container: Container, patience_s: float, hold_s: float, then: Callable[[], None]) -> None:
    """Take the traffic off the container, and call ``then`` when nobody waits for an answer of it any more.

    Where nobody has its traffic then, and none is held for ``hold_s`` seconds, both happen at once: nothing is gained
    by waiting. Otherwise the traffic stays until another one is ready, if one is about to be, for at most 10 seconds;
    and then requests under way are given time to end. All of it takes at most ``patience_s``.
    ``container.stop_timer`` is what is due next; whoever cancels it must go on by himself.
    """
    begun, seen = time.monotonic(), _Seen()
    deadline = begun + patience_s
    is_succeeded = container.facts.is_standby or hold_s > 0

    def wait_for_heir() -> None:
        if time.monotonic() < min(deadline, begun + _LONGEST_S) and world.networks.is_needed(container):
            container.stop_timer = world.loop.call_later(_PAUSE_S, wait_for_heir)
            return
        heirs = world.networks.heirs(container)
        world.networks.hold(container, hold_s)
        world.networks.unpublish(container)
        if (heirs or is_succeeded) and time.monotonic() < deadline:
            # Not at once: who has just been told our address is on the way.
            container.stop_timer = world.loop.call_later(_PAUSE_S, lambda: drain(heirs))
        else:
            then()

    def drain(heirs: list[Container]) -> None:
        is_worth_it = is_succeeded or any(world.networks.serves(heir) for heir in heirs)
        if is_worth_it and time.monotonic() < deadline and _is_busy(container, seen):
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


class _Seen:
    """What went over each connection when it was seen first."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str], tuple[int, int]] = {}

    def goes_on(self, connection: Connection) -> bool:
        """Whether the client was answered and has asked again since: only the server can bring that to an end."""
        counts = connection.received_count, connection.sent_count
        before = self._counts.setdefault((connection.port, connection.peer), counts)
        return counts[0] > before[0] and counts[1] > before[1]


def _is_busy(container: Container, seen: _Seen) -> bool:
    """Whether somebody outside of the container waits for the first answer that is due to him over TCP."""
    try:
        netns = open_netns(container.facts.pid)
    except OSError:
        return False  # it has just ended
    try:
        with open_sock_diag(netns) as netlink:
            served = {listener.port for listener in listeners(netlink)}
            waiting = [c for c in connections(netlink) if c.port in served and not seen.goes_on(c)]
            return any(map(is_waited_for, waiting))
    except OSError:
        return False  # a kernel without sock_diag
    finally:
        os.close(netns)
