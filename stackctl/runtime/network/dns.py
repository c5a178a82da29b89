"""DNS messages: read a question, write an answer. No input or output; total over any bytes.

Source: RFC 1035 section 4, RFC 6891 (EDNS), RFC 2308 (no data is no error).
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TYPE_A: Final = 1
TYPE_PTR: Final = 12
TYPE_AAAA: Final = 28
TYPE_ANY: Final = 255
_TYPE_OPT: Final = 41
CLASS_IN: Final = 1

# Names move between addresses at any time, and nothing is saved by remembering them: we are next door.
TTL_S: Final = 1
_PLAIN_UDP_BYTES: Final = 512
# What passes every path unfragmented (DNS flag day 2020); this path is the loopback, but clients set buffers
# by it.
_EDNS_BYTES: Final = 1232
_TCP_BYTES: Final = 65535
_HEADER: Final = struct.Struct(">HHHHHH")
_IS_RESPONSE: Final = 0x8000
_AUTHORITATIVE: Final = 0x0400
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_OPCODE: Final = 0x7800
_NAME_POINTER: Final = b"\xc0\x0c"
_REVERSE: Final = ".in-addr.arpa"
_OPT_RECORD: Final = struct.pack(">BHHIH", 0, _TYPE_OPT, _EDNS_BYTES, 0, 0)


class Code(enum.IntEnum):
    """How a query went."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True)
class Query:
    """A question. ``name`` is in lower case without the final dot; ``question`` is its bytes, to be echoed.

    ``answer_bytes`` is how long an answer the client takes over UDP.
    """

    id: int
    flags: int
    name: str
    type: int
    cls: int
    question: bytes
    has_edns: bool
    answer_bytes: int

    @property
    def reverse_address(self) -> str:
        """The IPv4 address whose name is asked for, "" if the question is another one."""
        if self.type != TYPE_PTR or not self.name.endswith(_REVERSE):
            return ""
        parts = self.name[: -len(_REVERSE)].split(".")
        is_address = len(parts) == 4 and all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts)
        return ".".join(reversed(parts)) if is_address else ""


def parse_query(data: bytes) -> Query | bytes | None:
    """Read a query: the question, or the answer that tells the client what is wrong with it, or None.

    None, for what is no query at all, must not be answered: two servers could go on for ever.
    """
    if len(data) < _HEADER.size:
        return None
    identity, flags, questions, _, _, additional = _HEADER.unpack_from(data)
    if flags & _IS_RESPONSE:
        return None
    if flags & _OPCODE:
        return _bare(identity, flags, Code.NOT_IMPLEMENTED)
    found = _read_name(data, _HEADER.size) if questions == 1 else None
    if found is None or len(data) < found[1] + 4:
        return _bare(identity, flags, Code.FORMAT_ERROR)
    name, end = found
    kind, cls = struct.unpack_from(">HH", data, end)
    size = _edns_bytes(data, end + 4) if additional else 0
    return Query(
        identity,
        flags,
        name,
        kind,
        cls,
        data[_HEADER.size : end + 4],
        bool(size),
        max(_PLAIN_UDP_BYTES, min(size, _EDNS_BYTES)),
    )


def answer_addresses(query: Query, addresses: Sequence[str], *, is_tcp: bool = False) -> bytes:
    """Return an answer with IPv4 addresses in this order, cut and marked when it is too long for UDP.

    For any type but A it says that the name exists and has nothing of that type: for AAAA this keeps
    clients from waiting or asking others.
    """
    records: list[bytes] = []
    if query.type in (TYPE_A, TYPE_ANY):
        records = [_record(TYPE_A, socket.inet_aton(address)) for address in addresses]
    return _answer(query, Code.NO_ERROR, records, is_tcp=is_tcp)


def answer_names(query: Query, names: Sequence[str], *, is_tcp: bool = False) -> bytes:
    """Return the answer to a reverse query."""
    return _answer(query, Code.NO_ERROR, [_record(TYPE_PTR, _write_name(name)) for name in names], is_tcp=is_tcp)


def answer_code(query: Query, code: Code) -> bytes:
    """Return an answer without records."""
    return _answer(query, code, [], is_tcp=False)


def answers(message: bytes, query: Query, identity: int) -> bool:
    """Return whether ``message`` is an answer to ``query`` as sent with the id ``identity``."""
    if len(message) < _HEADER.size:
        return False
    got, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if got != identity or not flags & _IS_RESPONSE:
        return False
    if questions == 0:
        return bool(flags & 0x000F)  # some servers leave the question out when they fail
    found = _read_name(message, _HEADER.size)
    if questions != 1 or found is None:
        return False
    return found[0] == query.name and message[found[1] : found[1] + 4] == query.question[-4:]


def with_id(message: bytes, identity: int) -> bytes:
    """Return the message under another id."""
    return struct.pack(">H", identity) + message[2:]


def _answer(query: Query, code: Code, records: Sequence[bytes], *, is_tcp: bool) -> bytes:
    trailer = _OPT_RECORD if query.has_edns else b""
    room = (_TCP_BYTES if is_tcp else query.answer_bytes) - _HEADER.size - len(query.question) - len(trailer)
    kept: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        kept.append(record)
    flags = _response_flags(query.flags, code) | _AUTHORITATIVE
    if len(kept) < len(records):
        flags |= _TRUNCATED
    header = _HEADER.pack(query.id, flags, 1, len(kept), 0, 1 if trailer else 0)
    return b"".join((header, query.question, *kept, trailer))


def _bare(identity: int, flags: int, code: Code) -> bytes:
    return _HEADER.pack(identity, _response_flags(flags, code), 0, 0, 0, 0)


def _response_flags(flags: int, code: Code) -> int:
    return _IS_RESPONSE | flags & (_OPCODE | _RECURSION_DESIRED) | _RECURSION_AVAILABLE | code


def _record(kind: int, value: bytes) -> bytes:
    return _NAME_POINTER + struct.pack(">HHIH", kind, CLASS_IN, TTL_S, len(value)) + value


def _read_name(data: bytes, offset: int) -> tuple[str, int] | None:
    """Return the name at ``offset`` and where it ends; compression has no place in a question."""
    labels: list[str] = []
    start = offset
    while offset < len(data):
        length = data[offset]
        offset += 1
        if length == 0:
            return ".".join(labels), offset
        if length > 63 or offset + length > len(data) or offset + length - start > 254:
            return None
        # Latin-1 maps every byte to itself: foreign bytes match no name of ours and survive.
        labels.append(data[offset : offset + length].decode("latin-1").lower())
        offset += length
    return None


def _write_name(name: str) -> bytes:
    encoded = (label.encode("latin-1", "replace")[:63] for label in name.split(".") if label)
    return b"".join(bytes((len(label),)) + label for label in encoded) + b"\0"


def _edns_bytes(data: bytes, offset: int) -> int:
    """Return the size in an OPT record that begins at ``offset``, 0 if there is none."""
    if len(data) < offset + 11 or data[offset] != 0:
        return 0
    kind, size = struct.unpack_from(">HH", data, offset + 1)
    return max(int(size), 1) if kind == _TYPE_OPT else 0
