"""Netlink: attributes, messages, and a socket that checks every answer.

The kernel handles what is sent before ``send`` returns, so all answers but the later parts of a dump are
already queued then: nothing here waits.
Source: kernel Documentation/userspace-api/netlink/intro.rst; netlink(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from stackctl.runtime.kernel.netns import in_netns

NETLINK_ROUTE: Final = 0
NETLINK_SOCK_DIAG: Final = 4
NETLINK_NETFILTER: Final = 12

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_SO_ATTACH_FILTER: Final = 26
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1
_NLA_TYPE_MASK: Final = 0x3FFF
_NLA_F_NESTED: Final = 0x8000

_HEADER: Final = struct.Struct("=IHHII")
_FILTER_STEP: Final = struct.Struct("=HBBI")
_FILTER: Final = struct.Struct("@HP")
_ATTRIBUTE: Final = struct.Struct("=HH")
_INT: Final = struct.Struct("=i")
_PADDING: Final = (b"", b"\0", b"\0\0", b"\0\0\0")
_RECEIVE_BYTES: Final = 1 << 17
_DUMP_ATTEMPTS: Final = 5


class Message(NamedTuple):
    """A request without its header; ``title`` says in errors what was tried."""

    kind: int
    flags: int
    body: bytes
    title: str = ""


class Reply(NamedTuple):
    """One message of the kernel that is no acknowledgement."""

    kind: int
    body: bytes


class NetlinkError(OSError):
    """The kernel refused a message: errno, its own explanation when it gave one, and what was tried."""


def attr(kind: int, data: bytes = b"") -> bytes:
    """Return one attribute, padded.

    Raises ValueError for data longer than the 16-bit length can say: it would wrap and let the data be read
    as further attributes (CVE-2021-43784).
    """
    length = len(data) + 4
    if length > 0xFFFF:
        raise ValueError(f"netlink attribute of {len(data)} bytes is too long")
    return _ATTRIBUTE.pack(length, kind) + data + _PADDING[-length & 3]


def nest(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attr(kind | _NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """Return a NUL-terminated string attribute; ValueError for a value with a NUL in it."""
    if "\0" in value:
        raise ValueError("NUL in a netlink string")
    return attr(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute in the machine's byte order."""
    return attr(kind, value.to_bytes(4, sys.byteorder))


def be32(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute in network byte order; negative numbers as two's complement."""
    return attr(kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def attributes(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """Split ``data`` from ``offset`` on into (kind without flags, payload). Stops at the first malformed
    one.
    """
    found: list[tuple[int, bytes]] = []
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            break
        found.append((kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]))
        offset += (length + 3) & ~3
    return found


class Netlink:
    """A netlink socket. It stays in the network namespace it was opened in, and pins it: close it."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        try:
            # Whole batches go out in one datagram, and a refused batch is answered once per message.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 8 << 20)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        except OSError:
            self._socket.close()
            raise

    @classmethod
    def inside(cls, netns_fd: int, protocol: int = NETLINK_ROUTE) -> Netlink:
        """Open a socket in another network namespace."""
        with in_netns(netns_fd):
            return cls(protocol)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; harmless a second time."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, to be watched for messages of a group."""
        return self._socket.fileno()

    def join(self, group: int) -> None:
        """Receive what the kernel tells a group, from now on; such a socket is good for nothing else."""
        # Bound first: a socket that has no number yet has that of the kernel, which is not told its own news.
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def leave_out(self, family: int) -> None:
        """Do not receive, and do not wake up for, news of interfaces that are about an address family.

        Source: Documentation/networking/filter.rst; struct ifinfomsg follows the header of 16 bytes.
        """
        steps = ((0x30, 0, 0, 16), (0x15, 0, 1, family), (0x06, 0, 0, 0), (0x06, 0, 0, 1 << 18))
        program = ctypes.create_string_buffer(b"".join(_FILTER_STEP.pack(*step) for step in steps))
        whole = _FILTER.pack(len(steps), ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, whole)

    def discard(self) -> None:
        """Drop all that has come. It only matters that something did; some may have been lost as well."""
        while True:
            try:
                self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as failure:
                if failure.errno != errno.ENOBUFS:
                    raise

    def transact(self, messages: Sequence[Message]) -> list[Reply]:
        """Send ``messages`` in one datagram and return what was answered besides acknowledgements.

        They are carried out one by one, in order, and **all** of them even when one fails; the first
        failure is raised then, as NetlinkError.
        """
        first = self._sequence + 1
        self._sequence += len(messages)
        parts = [
            _HEADER.pack(16 + len(m.body), m.kind, m.flags | NLM_F_REQUEST | NLM_F_ACK, first + number, 0) + m.body
            for number, m in enumerate(messages)
        ]
        self._socket.send(b"".join(parts))
        replies, outcomes = self._drain()
        for number, message in enumerate(messages):
            _check(outcomes.get(first + number), message.title)
        return replies

    def dump(self, message: Message) -> list[Reply]:
        """Ask for a list and return all of it, again when it changed meanwhile. Raises NetlinkError."""
        replies: list[Reply] = []
        for _ in range(_DUMP_ATTEMPTS):
            replies, is_whole = self._dump_once(message)
            if is_whole:
                break
        return replies

    def send_batch(self, messages: Sequence[Message], *, subsystem: int) -> None:
        """Carry out nfnetlink ``messages`` as one transaction: all of them or, with NetlinkError, none.

        Only the last one asks for an acknowledgement; failures are always told.
        """
        first = self._sequence + 2
        self._sequence += len(messages) + 2
        last = first + len(messages) - 1
        border = struct.pack(">BBH", 0, 0, subsystem)
        parts = [_HEADER.pack(20, 0x10, NLM_F_REQUEST, first - 1, 0), border]
        for number, message in enumerate(messages, first):
            flags = message.flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
            parts.append(_HEADER.pack(16 + len(message.body), message.kind, flags, number, 0))
            parts.append(message.body)
        parts += [_HEADER.pack(20, 0x11, NLM_F_REQUEST, last + 1, 0), border]
        self._socket.send(b"".join(parts))
        _, outcomes = self._drain()
        for number, message in enumerate(messages, first):
            if outcomes.get(number, (0, ""))[0]:
                _check(outcomes[number], message.title)
        for number, outcome in outcomes.items():
            if outcome[0]:
                _check(outcome, "commit" if number < first else "end of batch")
        _check(outcomes.get(last), "batch")

    def _dump_once(self, message: Message) -> tuple[list[Reply], bool]:
        self._sequence += 1
        header = _HEADER.pack(
            16 + len(message.body),
            message.kind,
            message.flags | NLM_F_REQUEST | NLM_F_DUMP,
            self._sequence,
            0,
        )
        self._socket.send(header + message.body)
        replies: list[Reply] = []
        is_whole = True
        while True:
            for kind, flags, sequence, body in _split(self._socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                is_whole = is_whole and not flags & _NLM_F_DUMP_INTR
                if kind == _NLMSG_DONE:
                    return replies, is_whole
                if kind == _NLMSG_ERROR:
                    _check(_outcome(flags, body), message.title)
                    return replies, is_whole
                replies.append(Reply(kind, body))

    def _drain(self) -> tuple[list[Reply], dict[int, tuple[int, str]]]:
        replies: list[Reply] = []
        outcomes: dict[int, tuple[int, str]] = {}
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return replies, outcomes
            for kind, flags, sequence, body in _split(data):
                if kind == _NLMSG_ERROR:
                    outcomes[sequence] = _outcome(flags, body)
                elif kind != _NLMSG_DONE:
                    replies.append(Reply(kind, body))


def _split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    found: list[tuple[int, int, int, bytes]] = []
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            break
        found.append((kind, flags, sequence, data[offset + 16 : offset + length]))
        offset += (length + 3) & ~3
    return found


def _outcome(flags: int, body: bytes) -> tuple[int, str]:
    number = -_INT.unpack_from(body)[0]
    explanation = ""
    if flags & _NLM_F_ACK_TLVS:
        # After errno and the header of what was refused; its body too unless the answer is capped.
        offset = 20 if flags & _NLM_F_CAPPED else 4 + ((_HEADER.unpack_from(body, 4)[0] + 3) & ~3)
        for kind, value in attributes(body, offset):
            if kind == _NLMSGERR_ATTR_MSG:
                explanation = value.rstrip(b"\0").decode(errors="replace")
    return number, explanation


def _check(outcome: tuple[int, str] | None, title: str) -> None:
    if outcome is None:
        raise NetlinkError(errno.EIO, "the kernel did not answer", title)
    number, explanation = outcome
    if number:
        reason = os.strerror(number)
        raise NetlinkError(number, f"{reason}: {explanation}" if explanation else reason, title)
