"""Carrying the bytes of connections from one socket to another, both ways."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import Final

from stackctl.runtime.loop import READABLE, WRITABLE, Loop, Timer

_PIECE_BYTES: Final = 256 * 1024
_IDLE_S: Final = 5.0
_ABORT: Final = struct.pack("ii", 1, 0)


def carry(loop: Loop, channel: socket.socket) -> None:
    """Carry what comes by ``channel``: an accepted connection each time, with the ``address:port`` to lead it to.

    Returns when there has been nothing to do for a while, or the other end is closed, once no connection is left.
    """
    _Carrier(loop, channel).run()


class _Carrier:
    def __init__(self, loop: Loop, channel: socket.socket) -> None:
        self.loop = loop
        self._channel = channel
        self._open: set[_Connection] = set()
        self._is_ending = False
        self._idle: Timer | None = None

    def run(self) -> None:
        self._channel.setblocking(False)
        self.loop.register(self._channel.fileno(), self._take)
        self.loop.run()

    def closed(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._rest()

    def _take(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        while True:
            try:
                target, fds, _, _ = socket.recv_fds(self._channel, 256, 1)
            except BlockingIOError:
                break
            if not target and not fds:
                self._is_ending = True
                self.loop.unregister(self._channel.fileno())
                break
            address, _, port = target.decode("ascii").rpartition(":")
            for fd in fds:
                self._open.add(_Connection(self, socket.socket(fileno=fd), (address, int(port))))
        if not self._open:
            self._rest()

    def _rest(self) -> None:
        if self._is_ending:
            self.loop.stop()
        else:
            # Order: nothing more can be sent from now on, and what was sent before is taken yet, so that none is lost.
            self._idle = self.loop.call_later(_IDLE_S, lambda: self._channel.shutdown(socket.SHUT_RD))


class _End:
    """One of a connection's two sockets, and what is still to be written to it."""

    __slots__ = ("has_ended", "pending", "sock", "watched")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.pending = b""
        self.has_ended = False
        self.watched = 0


class _Connection:
    def __init__(self, carrier: _Carrier, client: socket.socket, target: tuple[str, int]) -> None:
        self._carrier = carrier
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._client, self._server = _End(client), _End(server)
        for end in (self._client, self._server):
            end.sock.setblocking(False)
            end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._problem = server.connect_ex(target)
        self._is_connecting = True
        self._watch(self._server, WRITABLE)

    def _go_on(self) -> None:
        try:
            if self._is_connecting:
                self._check_connected()
            self._move(self._client, self._server)
            self._move(self._server, self._client)
        except OSError:
            self._close(is_aborted=True)
            return
        if self._client.has_ended and self._server.has_ended and not (self._client.pending or self._server.pending):
            self._close(is_aborted=False)
            return
        for one, other in ((self._client, self._server), (self._server, self._client)):
            reads = 0 if one.has_ended or other.pending else READABLE
            self._watch(one, reads | (WRITABLE if one.pending else 0))

    def _check_connected(self) -> None:
        problem = self._server.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem or self._problem not in (0, errno.EINPROGRESS):
            raise ConnectionRefusedError(problem)
        self._is_connecting = False

    def _move(self, source: _End, sink: _End) -> None:
        with suppress(BlockingIOError):
            if not sink.pending and not source.has_ended:
                sink.pending = source.sock.recv(_PIECE_BYTES)
                source.has_ended = not sink.pending
                if source.has_ended:
                    sink.sock.shutdown(socket.SHUT_WR)
            if sink.pending:
                sink.pending = sink.pending[sink.sock.send(sink.pending) :]

    def _watch(self, end: _End, events: int) -> None:
        # The end of both directions is told even of what is watched for nothing, and would be told again and again.
        number, loop = end.sock.fileno(), self._carrier.loop
        if events == end.watched:
            return
        if not events:
            loop.unregister(number)
        elif end.watched:
            loop.modify(number, events)
        else:
            loop.register(number, self._go_on, events)
        end.watched = events

    def _close(self, *, is_aborted: bool) -> None:
        if is_aborted:
            with suppress(OSError):
                self._client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        for end in (self._client, self._server):
            self._carrier.loop.unregister(end.sock.fileno())
            end.sock.close()
        self._carrier.closed(self)
