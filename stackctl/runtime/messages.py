"""The private socket between daemon and supervisor: JSON lines, descriptors beside them.

A request is ``{"v": 1, "id": n, "op": "start", …}``; its answer ``{"id": n, "ok": {…}}`` or ``{"id": n,
"error": {"code", "message", "hint"}}``, in any order. ``"fds": k`` says that k descriptors, sent with
SCM_RIGHTS, belong to the message. Pure but for the two socket calls.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

_INT: Final = struct.Struct("i")
_MAX_FDS: Final = 16
_READ_BYTES: Final = 1 << 18


def pack(message: dict[str, Any]) -> bytes:
    """Return the message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def send(sock: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send one message, whole, on a blocking socket. Raises OSError."""
    if not fds:
        sock.sendall(pack(message))
        return
    data = pack({**message, "fds": len(fds)})
    sent = sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(map(_INT.pack, fds)))])
    sock.sendall(data[sent:])


class Receiver:
    """Puts messages together from what arrives on one socket."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._fds: list[int] = []

    def receive(self, sock: socket.socket) -> list[tuple[dict[str, Any], tuple[int, ...]]] | None:
        """Read once; return the messages that are complete now, None at the end. Raises OSError."""
        space = socket.CMSG_SPACE(_MAX_FDS * _INT.size)
        data, ancillary, _, _ = sock.recvmsg(_READ_BYTES, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(content) - len(content) % _INT.size
                self._fds += [found for (found,) in _INT.iter_unpack(content[:whole])]
        if not data:
            return None
        self._data += data
        messages = []
        *lines, rest = self._data.split(b"\n")
        self._data = bytearray(rest)
        for line in lines:
            message = json.loads(line)
            count = message.get("fds", 0)
            messages.append((message, tuple(self._fds[:count])))
            del self._fds[:count]
        return messages
