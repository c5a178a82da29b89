"""A resolver made by hand: questions to 127.0.0.11, and what came back."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

A, PTR, AAAA = 1, 12, 28
NO_ERROR, SERVER_FAILURE, NAME_ERROR = 0, 2, 3
SERVER = ("127.0.0.11", 53)
_ID = 0x1234


class Answer(NamedTuple):
    """Response code, whether it was cut, and the addresses or names in it."""

    code: int
    is_cut: bool
    values: list[str]


def question(name: str, kind: int = A) -> bytes:
    """Return a query for ``name``."""
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part) + b"\0"
    return struct.pack(">HHHHHH", _ID, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


def ask(client: socket.socket, name: str, kind: int = A, *, timeout: float = 5.0) -> Answer:
    """Ask over UDP. ``client`` is a fresh socket in the container's namespace."""
    with client:
        client.settimeout(timeout)
        client.connect(SERVER)
        client.send(question(name, kind))
        return read(client.recv(1500))


def ask_tcp(client: socket.socket, name: str, kind: int = A) -> Answer:
    """Ask over TCP, in two pieces."""
    with client:
        client.settimeout(5)
        client.connect(SERVER)
        message = question(name, kind)
        framed = len(message).to_bytes(2, "big") + message
        client.sendall(framed[:5])
        client.sendall(framed[5:])
        answer = b""
        while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
            answer += client.recv(65535)
        return read(answer[2:])


def read(answer: bytes) -> Answer:
    """Read an answer to ``question``."""
    identity, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", answer)
    assert identity == _ID
    offset = answer.index(b"\0", 12) + 5
    values = []
    for _ in range(count):
        kind, _, _, length = struct.unpack_from(">HHIH", answer, offset + 2)
        data = answer[offset + 12 : offset + 12 + length]
        values.append(_name(data) if kind == PTR else socket.inet_ntop(_FAMILIES[kind], data))
        offset += 12 + length
    return Answer(flags & 15, bool(flags & 0x0200), values)


def _name(data: bytes) -> str:
    labels = []
    while data[0]:
        labels.append(data[1 : 1 + data[0]].decode())
        data = data[1 + data[0] :]
    return ".".join(labels)


_FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}
