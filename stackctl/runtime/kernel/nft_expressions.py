"""The expressions nftables rules are made of; each function returns one, encoded.

A rule is a sequence of expressions over registers, left as soon as one of them does not match. Registers
are named in 4-byte units, ``REG0`` to ``REG15``: values of several units take as many in a row, which is
how the parts of a concatenated key come to lie side by side.
Source: include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

from stackctl.runtime.kernel.netlink import attr, be32, nest, text
from stackctl.runtime.kernel.nftables import SetRef

# NFT_REG32_00 is 8. 0 is where verdicts go.
REG0: Final = 8
REG1: Final = 9
REG2: Final = 10
_VERDICT: Final = 0

DROP: Final = 0
ACCEPT: Final = 1
_JUMP: Final = -3
_GOTO: Final = -4

META_IIFNAME: Final = 6
META_OIFNAME: Final = 7
META_L4PROTO: Final = 16

_DATA_VALUE: Final = 1
_DATA_VERDICT: Final = 2
_NETWORK_HEADER: Final = 1
_TRANSPORT_HEADER: Final = 2
_CT_STATUS: Final = 2
_IPS_DST_NAT: Final = 0x20
_FIB_RESULT_ADDRTYPE: Final = 3
_FIB_F_DADDR: Final = 2
_RTN_LOCAL: Final = 2
_NAT_DNAT: Final = 1


def interface(name: str) -> bytes:
    """Return an interface name as rules compare it: padded to 16 bytes."""
    return name.encode().ljust(16, b"\0")


def address(dotted: str) -> bytes:
    """Return an IPv4 address as rules compare it."""
    return socket.inet_pton(socket.AF_INET, dotted)


def port(number: int) -> bytes:
    """Return a port as rules compare it."""
    return number.to_bytes(2, "big")


def padded(value: bytes) -> bytes:
    """Fill up to whole registers, as every part of a concatenated key must be."""
    return value + b"\0" * (-len(value) & 3)


def meta(key: int, register: int = REG0) -> bytes:
    """Load something about the packet: META_IIFNAME (16 bytes), META_L4PROTO (1), …"""
    return _expression("meta", be32(1, register), be32(2, key))


def ip_source(register: int = REG0) -> bytes:
    """Load the IPv4 source address."""
    return _payload(_NETWORK_HEADER, 12, 4, register)


def ip_destination(register: int = REG0) -> bytes:
    """Load the IPv4 destination address."""
    return _payload(_NETWORK_HEADER, 16, 4, register)


def destination_port(register: int = REG0) -> bytes:
    """Load the destination port of TCP, UDP or SCTP (2 bytes); other protocols must be excluded."""
    return _payload(_TRANSPORT_HEADER, 2, 2, register)


def equal(value: bytes, register: int = REG0) -> bytes:
    """Go on if the register holds ``value``."""
    return _compare(0, value, register)


def different(value: bytes, register: int = REG0) -> bytes:
    """Go on unless the register holds ``value``."""
    return _compare(1, value, register)


def mask(bits: int, register: int = REG0) -> bytes:
    """Keep of a 4-byte register in network order only ``bits``."""
    return _bitwise(bits.to_bytes(4, "big"), register)


def to_local_address() -> tuple[bytes, ...]:
    """Go on if the destination is an address of this host."""
    load = _expression("fib", be32(1, REG0), be32(2, _FIB_RESULT_ADDRTYPE), be32(3, _FIB_F_DADDR))
    return (load, equal(_native(_RTN_LOCAL)))


def is_redirected() -> tuple[bytes, ...]:
    """Go on if the connection was sent here by ``dnat``."""
    load = _expression("ct", be32(1, REG0), be32(2, _CT_STATUS))
    return (load, _bitwise(_native(_IPS_DST_NAT), REG0), different(_native(0)))


def every(period: int) -> tuple[bytes, ...]:
    """Go on for the first packet that comes by, and then for every ``period``-th."""
    turn = _expression("numgen", be32(1, REG0), be32(2, period), be32(3, 0))
    return (turn, equal(_native(0)))


def is_in(members: SetRef, register: int = REG0) -> bytes:
    """Go on if the set holds what lies in the registers from ``register`` on."""
    return _lookup(members, register)


def is_not_in(members: SetRef, register: int = REG0) -> bytes:
    """Go on unless the set holds what lies in the registers from ``register`` on."""
    return _lookup(members, register, be32(5, 1))


def carry_out(verdicts: SetRef, register: int = REG0) -> bytes:
    """Look the key up in a map of verdicts and do what it says; go on when it is not there."""
    return _lookup(verdicts, register, be32(3, _VERDICT))


def load(value: bytes, register: int = REG0) -> bytes:
    """Load a constant."""
    return _expression("immediate", be32(1, register), nest(2, attr(_DATA_VALUE, value)))


def verdict(code: int) -> bytes:
    """End here with ACCEPT or DROP."""
    return _expression("immediate", be32(1, _VERDICT), nest(2, _verdict_data(code)))


def jump(chain: str) -> bytes:
    """Carry on in another chain, and come back."""
    return _expression("immediate", be32(1, _VERDICT), nest(2, _verdict_data(_JUMP, chain)))


def goto_data(chain: str) -> bytes:
    """Return "carry on in another chain" as the value of a map element."""
    return _verdict_data(_GOTO, chain)


def redirect(address_register: int = REG0, port_register: int = REG1) -> bytes:
    """Send the connection to the address and port in these registers (dnat)."""
    family = be32(2, socket.AF_INET)
    return _expression("nat", be32(1, _NAT_DNAT), family, be32(3, address_register), be32(5, port_register))


def masquerade() -> bytes:
    """Give the connection the address of the interface it leaves by as its source."""
    return _expression("masq")


def counter() -> bytes:
    """Count what comes by."""
    return _expression("counter")


def _native(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)


def _expression(name: str, *details: bytes) -> bytes:
    return nest(1, text(1, name), nest(2, *details))


def _payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def _compare(operator: int, value: bytes, register: int) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, operator), nest(3, attr(_DATA_VALUE, value)))


def _bitwise(bits: bytes, register: int) -> bytes:
    zero = b"\0" * len(bits)
    sizes = be32(1, register) + be32(2, register) + be32(3, len(bits))
    return _expression("bitwise", sizes, nest(4, attr(_DATA_VALUE, bits)), nest(5, attr(_DATA_VALUE, zero)))


def _lookup(members: SetRef, register: int, *more: bytes) -> bytes:
    return _expression("lookup", text(1, members.name), be32(2, register), *more, be32(4, members.number))


def _verdict_data(code: int, chain: str = "") -> bytes:
    return nest(_DATA_VERDICT, be32(1, code), text(2, chain) if chain else b"")
