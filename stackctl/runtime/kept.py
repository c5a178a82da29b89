"""Descriptors that must outlive the supervisor, put where the keeper holds them.

The keeper holds both ends of a socket pair and never reads. A descriptor sent into one end lies in the
queue until a new supervisor reads it out of the other, and sends it again.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_QUEUE_BYTES: Final = 16 << 20
_SO_SNDBUFFORCE: Final = 32
_SLACK: Final = 32


class KeptDescriptors:
    """Named descriptors in the keeper's queue. Ours stay open beside the kept copies."""

    def __init__(self, sending_fd: int, receiving_fd: int) -> None:
        self._sending = socket.socket(fileno=sending_fd)
        self._receiving = socket.socket(fileno=receiving_fd)
        for end in (self._sending, self._receiving):
            end.setblocking(False)
        self._sending.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _QUEUE_BYTES)
        self._kept: dict[str, int] = {}
        self._queued = 0

    def recover(self) -> dict[str, int]:
        """Take over what an earlier supervisor kept; return name -> descriptor, now ours and kept again.

        Raises OSError, with all of it still kept, when there are too few descriptors.
        """
        found: dict[str, int] = {}
        # Order: each goes back into the queue before the next is taken out, so that dying here loses nothing;
        # the mark says where the ones begin that we put in.
        mark = os.urandom(8)
        self._sending.send(mark)
        while True:
            # With no descriptor free the kernel would take the message out and throw away what it holds.
            os.close(os.dup(self._receiving.fileno()))
            text, fds, _, _ = socket.recv_fds(self._receiving, 4096, 1)
            if text == mark:
                return found
            if fds:
                # A name that comes again is the same thing sent anew, or the name's next owner: the last one counts.
                name = text.decode()
                if name in found:
                    os.close(found[name])
                found[name] = fds[0]
                self.keep(name, fds[0])

    def keep(self, name: str, fd: int) -> None:
        """Keep a copy of ``fd`` under ``name``. ``fd`` must stay open until ``drop``."""
        self._send(name, fd)
        self._kept[name] = fd

    def drop(self, name: str) -> None:
        """No longer keep ``name``; harmless when it is not kept. The copy goes with the next clean-up."""
        if self._kept.pop(name, None) is not None and self._queued > 2 * len(self._kept) + _SLACK:
            self._clean_up()

    def withdraw(self, name: str) -> None:
        """No longer keep ``name``, and let the copy go at once: for an end whose closing means something."""
        if self._kept.pop(name, None) is not None:
            self._clean_up()

    def has(self, name: str) -> bool:
        """Whether ``name`` is kept."""
        return name in self._kept

    def close(self) -> None:
        """Forget our ends; what is kept stays with the keeper."""
        self._sending.detach()
        self._receiving.detach()

    def _send(self, name: str, fd: int) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
        self._sending.sendmsg([name.encode()], [rights])
        self._queued += 1

    def _clean_up(self) -> None:
        # Order: the live ones are sent again before the old queue is emptied, so that dying in between
        # loses nothing; a name that is found twice is the same descriptor.
        stale = self._queued
        for name, fd in self._kept.items():
            self._send(name, fd)
        for _ in range(stale):
            try:
                _, fds, _, _ = socket.recv_fds(self._receiving, 4096, 1)
            except BlockingIOError:
                break
            self._queued -= 1
            for fd in fds:
                os.close(fd)
