"""Which subnet a network gets, and which address a container. Pure: what is taken is told by the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from stackctl.errors import Conflict
from stackctl.model.network import NetworkSpec
from stackctl.runtime.network.addresses import (
    Subnet,
    address_text,
    parse_address,
    parse_subnet,
)

# The first pool is one that neither Docker nor home routers hand out. The others are for hosts whose routes
# cover all of 10/8, which a VPN may do.
POOLS: Final = (
    (parse_subnet("10.208.0.0/12"), 20),
    (parse_subnet("172.16.0.0/12"), 20),
    (parse_subnet("192.168.0.0/16"), 24),
)
_LONGEST_PREFIX: Final = 30
_SHORTEST_PREFIX: Final = 8
_T = TypeVar("_T")


class AddressError(Conflict):
    """No such subnet or address can be given out."""

    code = "address"


class AddressTaken(AddressError):
    """An address is another's; ``holder`` is who, as told when it was given out, ``by`` the same for the user."""

    code = "address-taken"

    def __init__(self, address: str, holder: str, by: str = "another container") -> None:
        self.address = address
        self.holder = holder
        super().__init__(f"address {address} is taken by {by}")


class Taken(NamedTuple):
    """A subnet that is in use, and by whom, in words.

    ``is_wide`` marks a route through a gateway: a network asked for explicitly may lie inside it, being the
    more specific one, but none is put there unasked.
    """

    subnet: Subnet
    by: str
    is_wide: bool = False


class Addressing(NamedTuple):
    """The addresses of one network: its subnet, the part to give out from, and the host's own address."""

    subnet: Subnet
    range: Subnet
    gateway: str
    reserved: tuple[str, ...] = ()

    @property
    def prefix(self) -> int:
        """The prefix length that goes with every address of the network."""
        return self.subnet.prefix


def plan_addressing(
    spec: NetworkSpec, taken: Sequence[Taken], *, pools: Iterable[tuple[Subnet, int]] = POOLS
) -> Addressing:
    """Decide the addressing of a new network. ``taken`` must hold every subnet of the host and of all
    engines.

    Raises AddressError for values that make no sense, for a subnet that overlaps another, and when
    nothing is left.
    """
    subnet = _explicit_subnet(spec, taken) if spec.subnet else _free_subnet(spec, taken, pools)
    chosen_range = subnet
    if spec.ip_range:
        chosen_range = _parse(parse_subnet, spec.ip_range, f"ip_range of network {spec.name}")
        if not subnet.overlaps(chosen_range) or chosen_range.prefix < subnet.prefix:
            raise AddressError(
                f"ip_range {chosen_range} of network {spec.name} is not inside its subnet {subnet}",
                code="bad-subnet",
            )
    gateway = subnet.base + 1
    if spec.gateway:
        gateway = _parse(parse_address, spec.gateway, f"gateway of network {spec.name}")
        if not subnet.base < gateway < subnet.last:
            raise AddressError(
                f"gateway {spec.gateway} of network {spec.name} is no host address of its subnet {subnet}",
                code="bad-subnet",
            )
    reserved = [_parse(parse_address, text, f"aux_addresses of network {spec.name}") for text in spec.reserved]
    return Addressing(subnet, chosen_range, address_text(gateway), tuple(map(address_text, reserved)))


class AddressPool:
    """Gives out the addresses of one network.

    Going round before an address is used again keeps late packets and stale caches from
    reaching somebody else. Rebuild it from records at any time; only where it continues is lost.
    """

    __slots__ = ("_addressing", "_next", "_owners")

    def __init__(self, addressing: Addressing, owners: Mapping[str, str] | None = None) -> None:
        """``owners`` maps addresses given out to who has them, in words ("container web-1")."""
        self._addressing = addressing
        self._owners = {parse_address(address): owner for address, owner in (owners or {}).items()}
        self._next = addressing.range.base

    @property
    def owners(self) -> dict[str, str]:
        """Who has which address; the gateway is not among them."""
        return {address_text(address): owner for address, owner in self._owners.items()}

    def allocate(self, owner: str, *, spared: Iterable[str] = ()) -> str:
        """Give ``owner`` any free address, one of ``spared`` only when there is no other.

        Raises AddressError when there is none.
        """
        choice = self._addressing.range
        for kept in ({parse_address(text) for text in spared}, set[int]()):
            for step in range(choice.size):
                address = choice.base + (self._next - choice.base + step) % choice.size
                if self._is_usable(address) and address not in self._owners and address not in kept:
                    self._owners[address] = owner
                    self._next = address + 1
                    return address_text(address)
        raise AddressError(
            f"no address is left in {choice}: {len(self._owners)} are in use",
            code="addresses-exhausted",
            hint="remove containers that are not needed, or give the network a larger subnet",
        )

    def claim(self, address: str, owner: str) -> str:
        """Give ``owner`` exactly this address, which it may have already. Raises AddressError."""
        number = _parse(parse_address, address, "a fixed address")
        subnet = self._addressing.subnet
        if not subnet.holds(number):
            raise AddressError(f"address {address} is not in the subnet {subnet}", code="bad-address")
        if number in (subnet.base, subnet.last):
            raise AddressError(f"address {address} is the network or broadcast address of {subnet}", code="bad-address")
        if address_text(number) == self._addressing.gateway:
            raise AddressError(f"address {address} is the gateway of {subnet}", code="address-taken")
        holder = self._owners.get(number, owner)
        if holder != owner:
            raise AddressTaken(address, holder)
        self._owners[number] = owner
        return address_text(number)

    def release(self, address: str) -> None:
        """Take an address back; harmless when it was not given out."""
        self._owners.pop(parse_address(address), None)

    def _is_usable(self, address: int) -> bool:
        subnet = self._addressing.subnet
        if address_text(address) in (self._addressing.gateway, *self._addressing.reserved):
            return False
        return subnet.base < address < subnet.last


def _explicit_subnet(spec: NetworkSpec, taken: Sequence[Taken]) -> Subnet:
    subnet = _parse(parse_subnet, spec.subnet, f"subnet of network {spec.name}")
    if not _SHORTEST_PREFIX <= subnet.prefix <= _LONGEST_PREFIX:
        raise AddressError(
            f"subnet {subnet} of network {spec.name} must have a prefix from /8 to /30", code="bad-subnet"
        )
    for other in taken:
        is_inside = other.is_wide and other.subnet.prefix < subnet.prefix
        if subnet.overlaps(other.subnet) and not is_inside:
            raise AddressError(
                f"subnet {subnet} of network {spec.name} overlaps {other.subnet} of {other.by}",
                code="subnet-overlap",
                hint="choose another subnet, or leave it out to get a free one",
            )
    return subnet


def _free_subnet(spec: NetworkSpec, taken: Sequence[Taken], pools: Iterable[tuple[Subnet, int]]) -> Subnet:
    if spec.gateway or spec.ip_range:
        raise AddressError(
            f"network {spec.name} has a gateway or ip_range but no subnet they could belong to",
            code="bad-subnet",
        )
    searched: list[str] = []
    for pool, prefix in pools:
        found = _first_free(pool, prefix, taken)
        if found is not None:
            return found
        searched.append(str(pool))
    raise AddressError(
        f"no free subnet is left for network {spec.name} in {', '.join(searched)}",
        code="subnets-exhausted",
        hint="remove networks that are not needed, or write a subnet",
    )


def _first_free(pool: Subnet, prefix: int, taken: Sequence[Taken]) -> Subnet | None:
    candidate = Subnet(pool.base, prefix)
    while candidate.base <= pool.last:
        blocking = [other.subnet for other in taken if other.subnet.overlaps(candidate)]
        if not blocking:
            return candidate
        # Go on behind all that is in the way: a /8 is left in one step.
        behind = max(other.last for other in blocking) | (candidate.size - 1)
        candidate = Subnet(behind + 1, prefix)
    return None


def _parse(reader: Callable[[str], _T], text: str, what: str) -> _T:
    try:
        return reader(text)
    except ValueError as cause:
        if ":" in text:
            raise AddressError(f"{what}: {text} is IPv6, which is not supported here", code="bad-subnet") from cause
        raise AddressError(f"{what}: {cause}", code="bad-subnet") from cause
