"""Watching the host's interfaces: somebody may delete a bridge under the containers on it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.network.dns_forward import Loop

_LINK_GROUP: Final = 1


class LinkWatch:
    """Calls ``changed`` soon after any interface of the host changed, once it has begun."""

    __slots__ = ("_changed", "_events", "_loop")

    def __init__(self, loop: Loop, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._events: Netlink | None = None

    def begin(self) -> None:
        """Watch; harmless a second time. Raises OSError."""
        if self._events is None:
            self._events = Netlink()
            # A bridge tells of each port whenever it learns something there: of no interest, and minutes later still.
            self._events.leave_out(socket.AF_BRIDGE)
            self._events.join(_LINK_GROUP)
            self._loop.register(self._events.fileno(), self._on_change)

    def end(self) -> None:
        """Watch no more."""
        if self._events is not None:
            self._loop.unregister(self._events.fileno())
            self._events.close()
            self._events = None

    def _on_change(self) -> None:
        if self._events is not None:
            self._events.discard()
        self._changed()
