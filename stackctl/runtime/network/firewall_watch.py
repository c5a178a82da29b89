"""Watching the host's rules: ours stay there, also in Docker's chain, and what is in the way is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stackctl.runtime.kernel.netlink import NETLINK_NETFILTER, Netlink
from stackctl.runtime.kernel.nftables import open_nftables
from stackctl.runtime.network import foreign_firewalls
from stackctl.runtime.network.dns_forward import Loop, Timer

_NFTABLES_GROUP: Final = 7
# Docker writes its rules one after the other, and we write ours with each container.
_CALM_S: Final = 0.3


class FirewallWatch:
    """Looks at the rules of others when it begins, and a little after each change of any rule on the host."""

    __slots__ = ("_engine_id", "_events", "_loop", "_mend", "_netlink", "_notices", "_timer")

    def __init__(self, loop: Loop, engine_id: str, mend: Callable[[], None]) -> None:
        """``mend`` is called at each look after the first, to bring back what others removed; it may raise OSError."""
        self._loop = loop
        self._engine_id = engine_id
        self._mend = mend
        self._netlink: Netlink | None = None
        self._events: Netlink | None = None
        self._timer: Timer | None = None
        self._notices: tuple[str, ...] = ()

    def begin(self) -> None:
        """Look now, and go on; harmless a second time. Raises OSError."""
        if self._netlink is None:
            self._netlink = open_nftables()
            self._events = Netlink(NETLINK_NETFILTER)
            self._events.join(_NFTABLES_GROUP)
            self._loop.register(self._events.fileno(), self._on_change)
            self._look()

    def end(self) -> None:
        """Look no more, and take our rules out of Docker's chain. Raises NetlinkError."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events is not None:
            self._loop.unregister(self._events.fileno())
            self._events.close()
            self._events = None
        with self._netlink or open_nftables() as netlink:
            self._netlink = None
            foreign_firewalls.remove_from_docker_user(netlink, self._engine_id)

    def notices(self) -> tuple[str, ...]:
        """Return what the owner of the host should know about other firewalls."""
        return self._notices

    def _on_change(self) -> None:
        if self._events is not None:
            self._events.discard()
        if self._timer is None:
            self._timer = self._loop.call_later(_CALM_S, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        try:
            self._mend()
        except OSError as failure:
            self._notices = (f"our own rules cannot be brought back: {failure.strerror}",)
            return
        self._look()

    def _look(self) -> None:
        if self._netlink is None:
            return
        try:
            foreign_firewalls.accept_in_docker_user(self._netlink, self._engine_id)
            self._notices = foreign_firewalls.notices(self._netlink)
        except OSError as failure:  # another program changes the same rules: it will be looked at again
            self._notices = (f"the rules of other firewalls cannot be read: {failure.strerror}",)
