"""nftables transactions, and looking at what is there.

A ``Batch`` collects commands; ``commit`` carries them out as one transaction, which packets see whole or not
at all. Source: net/netfilter/nf_tables_api.c, include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from stackctl.runtime.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    Netlink,
    NetlinkError,
    attr,
    attributes,
    be32,
    nest,
    text,
)

FAMILY_INET: Final = 1
FAMILY_IP: Final = 2

PREROUTING: Final = 0
FORWARD: Final = 2
OUTPUT: Final = 3
POSTROUTING: Final = 4

PRIORITY_RAW: Final = -300
PRIORITY_DSTNAT: Final = -100
PRIORITY_FILTER: Final = 0
PRIORITY_SRCNAT: Final = 100

# Only for how ``nft list`` prints; the kernel does not look at them.
TYPE_ADDRESS: Final = 7
TYPE_PROTOCOL: Final = 12
TYPE_PORT: Final = 13
TYPE_INTERFACE: Final = 41

_SUBSYSTEM: Final = 10
_NEWTABLE, _GETTABLE, _DELTABLE = 0, 1, 2
_NEWCHAIN, _GETCHAIN, _DELCHAIN = 3, 4, 5
_NEWRULE, _GETRULE, _DELRULE = 6, 7, 8
_NEWSET, _NEWSETELEM, _DELSETELEM = 9, 12, 14
_SET_ANONYMOUS: Final = 1
_SET_CONSTANT: Final = 2
_SET_MAP: Final = 8
_VERDICT_TYPE: Final = 0xFFFFFF00
_BITS_PER_TYPE: Final = 6
# An element list is one attribute of at most 64 KiB.
_ELEMENTS_PER_MESSAGE: Final = 400
_COMMENT: Final = 0
_USER_DATA: Final = 13
_KEY_BYTE_ORDER: Final = 0
_HOST_ORDER: Final = (1).to_bytes(4, sys.byteorder)


class SetRef(NamedTuple):
    """A set or map made in this batch, for rules of the same batch."""

    name: str
    number: int


class Chain(NamedTuple):
    """A chain of some table; ``hook`` is -1 for one that is only jumped to; ``policy`` 0 drops, 1 accepts."""

    name: str
    hook: int
    priority: int
    policy: int


class Rule(NamedTuple):
    """A rule: its handle, the comment it is tagged with, the names of its expressions."""

    handle: int
    comment: str
    expressions: tuple[str, ...]


def types(*parts: int) -> int:
    """Return the type of a concatenated key out of the types of its parts."""
    whole = 0
    for part in parts:
        whole = whole << _BITS_PER_TYPE | part
    return whole


class Batch:
    """Commands of one transaction, on tables of one family."""

    __slots__ = ("_family", "_messages", "_set_ids")

    def __init__(self, family: int = FAMILY_IP) -> None:
        self._family = family
        self._messages: list[Message] = []
        self._set_ids = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add_table(self, table: str) -> None:
        """Add a table unless it exists."""
        self._add(_NEWTABLE, NLM_F_CREATE, text(1, table), f"add table {table}")

    def delete_table(self, table: str) -> None:
        """Delete a table and all in it; it must exist."""
        self._add(_DELTABLE, 0, text(1, table), f"delete table {table}")

    def add_chain(self, table: str, chain: str) -> None:
        """Add a chain to jump to."""
        self._add(_NEWCHAIN, NLM_F_CREATE, text(1, table) + text(3, chain), f"add chain {chain}")

    def add_base_chain(self, table: str, chain: str, *, kind: str, hook: int, priority: int) -> None:
        """Add a chain that packets pass at ``hook``, accepting by default; ``kind`` is "filter" or "nat"."""
        place = nest(4, be32(1, hook), be32(2, priority))
        body = text(1, table) + text(3, chain) + place + be32(5, 1) + text(7, kind)
        self._add(_NEWCHAIN, NLM_F_CREATE, body, f"add base chain {chain}")

    def delete_chain(self, table: str, chain: str) -> None:
        """Delete a chain without rules that nothing jumps to."""
        self._add(_DELCHAIN, 0, text(1, table) + text(3, chain), f"delete chain {chain}")

    def flush_table(self, table: str) -> None:
        """Remove every rule of a table, and with them the sets made for them; its chains stay."""
        self._add(_DELRULE, 0, text(1, table), f"flush table {table}")

    def flush_chain(self, table: str, chain: str) -> None:
        """Remove every rule of a chain."""
        self._add(_DELRULE, 0, text(1, table) + text(2, chain), f"flush chain {chain}")

    def add_rule(self, table: str, chain: str, *expressions: bytes, comment: str = "") -> None:
        """Put a rule at the end of a chain."""
        body = _rule_body(table, chain, expressions, comment)
        self._add(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, body, f"add rule to {chain}")

    def insert_rule(self, table: str, chain: str, *expressions: bytes, comment: str = "") -> None:
        """Put a rule at the beginning of a chain."""
        self._add(
            _NEWRULE,
            NLM_F_CREATE,
            _rule_body(table, chain, expressions, comment),
            f"insert rule into {chain}",
        )

    def delete_rule(self, table: str, chain: str, handle: int) -> None:
        """Remove one rule."""
        body = text(1, table) + text(2, chain) + attr(3, handle.to_bytes(8, "big"))
        self._add(_DELRULE, 0, body, f"delete rule from {chain}")

    def add_set(self, table: str, *, key_type: int, key_size: int, keys: Sequence[bytes]) -> SetRef:
        """Add a set for one rule of this batch, with which it will go."""
        self._set_ids += 1
        made = SetRef("__set%d", self._set_ids)
        sizes = be32(4, key_type) + be32(5, key_size)
        self._add_set(table, made, _SET_ANONYMOUS | _SET_CONSTANT, sizes)
        self._add_elements(_NEWSETELEM, table, made, [(key, b"") for key in keys])
        return made

    def add_verdict_map(self, table: str, name: str, *, key_type: int, key_size: int) -> SetRef:
        """Add a named map from keys to verdicts unless it exists."""
        self._set_ids += 1
        made = SetRef(name, self._set_ids)
        sizes = be32(4, key_type) + be32(5, key_size) + be32(6, _VERDICT_TYPE) + be32(7, 16)
        self._add_set(table, made, _SET_MAP, sizes)
        return made

    def flush_map(self, table: str, name: str) -> None:
        """Remove all elements of a map; those added after it in the same batch take their place at once."""
        self._add(_DELSETELEM, 0, text(1, table) + text(2, name), f"flush map {name}")

    def add_to_map(self, table: str, name: str, elements: Sequence[tuple[bytes, bytes]]) -> None:
        """Add elements to a named map: (key, ``nft_expressions.goto_data``)."""
        self._add_elements(_NEWSETELEM, table, SetRef(name, 0), elements)

    def delete_from_map(self, table: str, name: str, keys: Sequence[bytes]) -> None:
        """Remove elements, which must exist, from a named map."""
        self._add_elements(_DELSETELEM, table, SetRef(name, 0), [(key, b"") for key in keys])

    def commit(self, netlink: Netlink) -> None:
        """Carry out all commands or none. ``netlink`` is of NETLINK_NETFILTER. Raises NetlinkError."""
        if self._messages:
            netlink.send_batch(self._messages, subsystem=_SUBSYSTEM)

    def _add_set(self, table: str, made: SetRef, flags: int, sizes: bytes) -> None:
        body = text(1, table) + text(2, made.name) + be32(3, flags) + sizes + be32(10, made.number)
        if sizes.startswith(be32(4, TYPE_INTERFACE)):
            # Only for ``nft list``, which otherwise shows empty names: they are in the machine's byte order.
            body += attr(_USER_DATA, bytes((_KEY_BYTE_ORDER, 4)) + _HOST_ORDER)
        self._add(_NEWSET, NLM_F_CREATE, body, f"add set {made.name}")

    def _add_elements(self, command: int, table: str, target: SetRef, elements: Sequence[tuple[bytes, bytes]]) -> None:
        head = text(1, table) + text(2, target.name) + (be32(4, target.number) if target.number else b"")
        flags = NLM_F_CREATE if command == _NEWSETELEM else 0
        for start in range(0, len(elements), _ELEMENTS_PER_MESSAGE):
            part = elements[start : start + _ELEMENTS_PER_MESSAGE]
            encoded = (nest(1, nest(1, attr(1, key)), nest(2, data) if data else b"") for key, data in part)
            self._add(command, flags, head + nest(3, *encoded), f"change elements of {target.name}")

    def _add(self, command: int, flags: int, body: bytes, title: str) -> None:
        header = struct.pack(">BBH", self._family, 0, 0)
        self._messages.append(Message(_SUBSYSTEM << 8 | command, flags, header + body, title))


def open_nftables() -> Netlink:
    """Open a socket for nftables of the present network namespace. Raises OSError."""
    return Netlink(NETLINK_NETFILTER)


def tables(netlink: Netlink, family: int = FAMILY_IP) -> list[str]:
    """Return the names of the tables of a family. Raises NetlinkError."""
    found = [dict(a) for a in _list(netlink, family, _GETTABLE, b"")]
    return [_text(values.get(1)) for values in found]


def chains(netlink: Netlink, table: str, family: int = FAMILY_IP) -> list[Chain]:
    """Return the chains of a table, none when there is no such table. Raises NetlinkError."""
    found: list[Chain] = []
    for values in map(dict, _list(netlink, family, _GETCHAIN, b"")):
        if _text(values.get(1)) == table:
            hook = dict(attributes(values.get(4, b"")))
            number = _int(hook[1]) if hook else -1
            found.append(Chain(_text(values.get(3)), number, _int(hook.get(2)), _int(values.get(5))))
    return found


def rules(netlink: Netlink, table: str, chain: str, family: int = FAMILY_IP) -> list[Rule]:
    """Return the rules of a chain in order, none when there is no such chain. Raises NetlinkError."""
    found: list[Rule] = []
    for values in map(dict, _list(netlink, family, _GETRULE, text(1, table) + text(2, chain))):
        if _text(values.get(1)) != table or _text(values.get(2)) != chain:
            continue
        names = tuple(_text(dict(attributes(e)).get(1)) for _, e in attributes(values.get(4, b"")))
        handle = int.from_bytes(values.get(3, b""), "big")
        found.append(Rule(handle, _read_comment(values.get(7, b"")), names))
    return found


def _list(netlink: Netlink, family: int, command: int, body: bytes) -> list[list[tuple[int, bytes]]]:
    header = struct.pack(">BBH", family, 0, 0)
    try:
        replies = netlink.dump(Message(_SUBSYSTEM << 8 | command, 0, header + body, "list nftables"))
    except NetlinkError as failure:
        if failure.errno == errno.ENOENT:
            return []
        raise
    return [attributes(reply.body, 4) for reply in replies]


def _rule_body(table: str, chain: str, expressions: Sequence[bytes], comment: str) -> bytes:
    body = text(1, table) + text(2, chain) + nest(4, *expressions)
    if comment:
        # libnftnl's notation of user data; nft and iptables-nft print it as the comment.
        value = comment.encode() + b"\0"
        body += attr(7, bytes((_COMMENT, len(value))) + value)
    return body


def _read_comment(user_data: bytes) -> str:
    if len(user_data) < 2 or user_data[0] != _COMMENT:
        return ""
    return _text(user_data[2 : 2 + user_data[1]])


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="replace")


def _int(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big", signed=True)
