"""IPv4 addresses and subnets as numbers. Pure, and cheaper to import than ``ipaddress``."""

from __future__ import annotations

from typing import NamedTuple


class Subnet(NamedTuple):
    """An IPv4 subnet; ``base`` has no bits outside the prefix."""

    base: int
    prefix: int

    @property
    def last(self) -> int:
        """The highest address in it, the broadcast address."""
        return self.base + self.size - 1

    @property
    def size(self) -> int:
        """How many addresses it has, network and broadcast address included."""
        return 1 << (32 - self.prefix)

    @property
    def mask(self) -> int:
        """The netmask as a number."""
        return 0xFFFFFFFF ^ (self.size - 1)

    def holds(self, address: int) -> bool:
        """Return whether ``address`` lies in the subnet."""
        return address & self.mask == self.base

    def overlaps(self, other: Subnet) -> bool:
        """Return whether the two have an address in common."""
        mask = self.mask & other.mask
        return self.base & mask == other.base & mask

    def __str__(self) -> str:
        return f"{address_text(self.base)}/{self.prefix}"


def parse_address(text: str) -> int:
    """Read a dotted-quad address. Raises ValueError, also for the short forms that inet_aton takes."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        raise ValueError(f"{text!r} is not an IPv4 address")
    if any(len(part) > 1 and part[0] == "0" for part in parts):
        raise ValueError(f"{text!r} has a number with a leading zero, which some programs read as octal")
    octets = [int(part) for part in parts]
    if max(octets) > 255:
        raise ValueError(f"{text!r} is not an IPv4 address")
    return octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]


def address_text(address: int) -> str:
    """Return the dotted-quad form."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def parse_subnet(text: str) -> Subnet:
    """Read ``a.b.c.d/n``. Raises ValueError, also when bits are set outside the prefix."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or len(length) > 2 or int(length) > 32:
        raise ValueError(f"{text!r} is not a subnet such as 10.5.0.0/16")
    subnet = subnet_of(parse_address(address), int(length))
    if subnet.base != parse_address(address):
        raise ValueError(f"{text!r} should be {subnet}")
    return subnet


def subnet_of(address: int, prefix: int) -> Subnet:
    """Return the subnet with this prefix length that ``address`` lies in."""
    return Subnet(address & (0xFFFFFFFF ^ ((1 << (32 - prefix)) - 1)), prefix)


def mac_of(address: str) -> bytes:
    """Return the MAC of the container with this address: 02:42 and the address.

    The same address always has the same MAC, so neighbours' caches stay right when a container is replaced.
    """
    return b"\x02\x42" + parse_address(address).to_bytes(4, "big")


def parse_mac(text: str) -> bytes:
    """Read six hexadecimal pairs separated by ``:`` or ``-``. Raises ValueError, also for a group address."""
    try:
        mac = bytes.fromhex(text.replace("-", ":").replace(":", " "))
    except ValueError:
        mac = b""
    if len(mac) != 6 or len(text) != 17:
        raise ValueError(f"{text!r} is not a MAC address such as 02:42:0a:d0:00:02")
    if mac[0] & 1:
        raise ValueError(f"{text!r} is a group address; the first number of a MAC address must be even")
    return mac
