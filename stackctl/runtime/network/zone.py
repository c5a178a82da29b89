"""Which names a container can see, and where they lead. Pure.

``lookup`` and ``reverse`` are what ``DnsServer`` asks; their cost does not grow with the number of
containers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Network:
    # name -> container -> its address; and where in turn the name is.
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)


class NetworkZone:
    """The names of every network: containers answer to their name and aliases on each network they are on."""

    __slots__ = ("_memberships", "_networks")

    def __init__(self) -> None:
        self._networks: dict[str, _Network] = {}
        self._memberships: dict[str, list[str]] = {}

    def join(self, container_id: str, network: str) -> None:
        """Let a container see the names of a network; earlier ones win where names clash."""
        self._networks.setdefault(network.lower(), _Network())
        seen = self._memberships.setdefault(container_id, [])
        if network.lower() not in seen:
            seen.append(network.lower())

    def announce(self, container_id: str, network: str, *, name: str, aliases: Iterable[str], address: str) -> None:
        """Let ``name`` and ``aliases`` lead to the container on this network, beside others of the same
        name.
        """
        place = self._networks.setdefault(network.lower(), _Network())
        place.owners[address] = (container_id, name)
        for every in {name.lower(), *(alias.lower() for alias in aliases)}:
            place.names.setdefault(every, {})[container_id] = address

    def withdraw(self, container_id: str) -> None:
        """Let no name lead to the container any more; what it sees itself stays."""
        for place in self._networks.values():
            for name in [name for name, members in place.names.items() if container_id in members]:
                del place.names[name][container_id]
                if not place.names[name]:
                    del place.names[name]
                    place.turns.pop(name, None)
            for address in [a for a, (owner, _) in place.owners.items() if owner == container_id]:
                del place.owners[address]

    def leave(self, container_id: str) -> None:
        """Forget the container: nothing leads to it, it sees nothing."""
        self.withdraw(container_id)
        self._memberships.pop(container_id, None)

    def drop(self, network: str) -> None:
        """Forget a network that was removed."""
        self._networks.pop(network.lower(), None)
        for seen in self._memberships.values():
            if network.lower() in seen:
                seen.remove(network.lower())

    def lookup(self, container_id: str, name: str) -> tuple[str, ...] | None:
        """Return the addresses of ``name``, or of ``name.network``, another one first each time."""
        for network in self._memberships.get(container_id, ()):
            place = self._networks[network]
            for candidate in (name, name.removesuffix(f".{network}")):
                members = place.names.get(candidate)
                if members:
                    turn = place.turns.get(candidate, 0)
                    place.turns[candidate] = turn + 1
                    return _rotated(tuple(members.values()), turn)
        return None

    def reverse(self, container_id: str, address: str) -> str | None:
        """Return ``name.network`` of the container that has the address on a network both are on."""
        for network in self._memberships.get(container_id, ()):
            owner = self._networks[network].owners.get(address)
            if owner is not None:
                return f"{owner[1]}.{network}"
        return None


def _rotated(values: tuple[str, ...], turn: int) -> tuple[str, ...]:
    start = turn % len(values)
    return values[start:] + values[:start]
