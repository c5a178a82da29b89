"""Which names a container can see, and where they lead. Pure.

``lookup`` and ``reverse`` are what ``DnsServer`` asks; their cost does not grow with the number of
containers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class _Place(NamedTuple):
    """Where a container is announced: on which network, under which names, at which address."""

    network: str
    names: frozenset[str]
    address: str


@dataclass(slots=True)
class _Network:
    # name -> container -> its address; and where in turn the name is.
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)


class NetworkZone:
    """The names of every network: containers answer to their name and aliases on each network they are on.

    A name leads to those of its containers that are ready, or to all of them when none is: a cluster whose
    members look for each other before they are ready must be able to find them.
    """

    __slots__ = ("_announced", "_is_ready", "_memberships", "_networks", "held")

    def __init__(self, is_ready: Callable[[str], bool] = lambda _: True) -> None:
        """``is_ready`` is asked at each lookup, with the id of a container that is announced."""
        self._is_ready = is_ready
        self._networks: dict[str, _Network] = {}
        self._memberships: dict[str, list[str]] = {}
        self._announced: dict[str, list[_Place]] = {}
        self.held: frozenset[tuple[str, str]] = frozenset()
        """Network and name of what is about to come back: whoever asks for it while nobody is ready is to wait."""

    def places(self, container_id: str) -> frozenset[tuple[str, str]]:
        """Return network and name of all that leads to the container and may lead to others."""
        found = self._announced.get(container_id, ())
        return frozenset((place.network, name) for place in found for name in place.names)

    def is_waiting(self, container_id: str, name: str) -> bool:
        """Whether a container that asks for ``name`` is to wait for the answer."""
        for network in self._memberships.get(container_id, ()) if self.held else ():
            for candidate in (name, name.removesuffix(f".{network.lower()}")):
                if (network, candidate) in self.held:
                    place = self._networks.get(network)
                    members = place.names.get(candidate, {}) if place is not None else {}
                    return not any(map(self._is_ready, members))
        return False

    def join(self, container_id: str, network: str) -> None:
        """Let a container see the names of a network; earlier ones win where names clash."""
        seen = self._memberships.setdefault(container_id, [])
        if network not in seen:
            seen.append(network)

    def announce(self, container_id: str, network: str, *, name: str, aliases: Iterable[str], address: str) -> None:
        """Let ``name`` and ``aliases`` lead to the container on this network, beside others of the same
        name.
        """
        place = self._networks.setdefault(network, _Network())
        names = frozenset((name.lower(), *(alias.lower() for alias in aliases)))
        place.owners[address] = (container_id, name)
        for every in names:
            place.names.setdefault(every, {})[container_id] = address
        self._announced.setdefault(container_id, []).append(_Place(network, names, address))

    def withdraw(self, container_id: str) -> None:
        """Let no name lead to the container any more; what it sees itself stays."""
        for network, names, address in self._announced.pop(container_id, ()):
            place = self._networks.get(network)
            if place is None:
                continue
            for name in names:
                members = place.names.get(name, {})
                members.pop(container_id, None)
                if not members:
                    place.names.pop(name, None)
                    place.turns.pop(name, None)
            if place.owners.get(address, ("", ""))[0] == container_id:
                del place.owners[address]

    def leave(self, container_id: str) -> None:
        """Forget the container: nothing leads to it, it sees nothing."""
        self.withdraw(container_id)
        self._memberships.pop(container_id, None)

    def part(self, container_id: str, network: str) -> None:
        """Let a container no longer see the names of a network."""
        seen = self._memberships.get(container_id, [])
        if network in seen:
            seen.remove(network)

    def drop(self, network: str) -> None:
        """Forget a network that was removed."""
        self._networks.pop(network, None)
        for seen in self._memberships.values():
            if network in seen:
                seen.remove(network)

    def namesakes(self, container_id: str) -> set[str]:
        """Return the others that a name of the container leads to as well."""
        found: set[str] = set()
        for network, names, _ in self._announced.get(container_id, ()):
            known = self._networks[network].names if network in self._networks else {}
            for name in names:
                found.update(known.get(name, ()))
        return found - {container_id}

    def lookup(self, container_id: str, name: str) -> tuple[str, ...] | None:
        """Return the addresses of ``name``, or of ``name.network``, another one first each time.

        ``name`` is in lower case.
        """
        for network in self._memberships.get(container_id, ()):
            place = self._networks.get(network)
            if place is None:
                continue
            for candidate in (name, name.removesuffix(f".{network.lower()}")):
                members = place.names.get(candidate)
                if members:
                    turn = place.turns.get(candidate, 0)
                    place.turns[candidate] = turn + 1
                    ready = tuple(address for member, address in members.items() if self._is_ready(member))
                    return _rotated(ready or tuple(members.values()), turn)
        return None

    def reverse(self, container_id: str, address: str) -> str | None:
        """Return ``name.network`` of the container that has the address on a network both are on."""
        for network in self._memberships.get(container_id, ()):
            place = self._networks.get(network)
            owner = place.owners.get(address) if place is not None else None
            if owner is not None:
                return f"{owner[1]}.{network}"
        return None


def _rotated(values: tuple[str, ...], turn: int) -> tuple[str, ...]:
    start = turn % len(values)
    return values[start:] + values[:start]
