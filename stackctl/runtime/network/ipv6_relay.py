"""Published TCP ports over IPv6, though networks are IPv4: who comes to ``[::1]:8080`` is led to 127.0.0.1:8080.

The supervisor only accepts. Bytes are carried by a process of its own, forked when the first connection comes: it ends
when it has had nothing to do for a while, and outlives a supervisor for as long as its connections do.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import zlib
from contextlib import suppress
from typing import Final, NoReturn

from stackctl.runtime.kernel import libc
from stackctl.runtime.loop import Loop
from stackctl.runtime.network.relaying import carry

_BACKLOG: Final = 1024
_AT_ONCE: Final = 64
_PAUSE_S: Final = 0.5
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_CHANNEL: Final = 3
_NAME: Final = b"stackctl-relay"
_LOOPBACK: Final = "127.0.0.1"


def relay_address(host_ip: str) -> str:
    """Return the IPv4 address under which a port published on an IPv6 address, or on every one (""), is reached.

    An IPv6 address has one of 127.0.0.0/8 as its stand-in, which nothing else uses.
    """
    if not host_ip:
        return _LOOPBACK
    digest = zlib.crc32(socket.inet_pton(socket.AF_INET6, host_ip.strip("[]")))
    return f"127.6.{digest >> 8 & 255}.{digest & 255}"


class Ipv6Relay:
    """Accepts connections for the supervisor. To be used in the host's network namespace."""

    def __init__(self, loop: Loop, helpers: set[int]) -> None:
        """``helpers`` are the children that the supervisor reaps."""
        self._loop = loop
        self._helpers = helpers
        self._channel: socket.socket | None = None

    def listen(self, bound: socket.socket, host_ip: str) -> None:
        """Take connections on a bound socket from now on."""
        target = f"{relay_address(host_ip)}:{bound.getsockname()[1]}".encode()
        bound.setblocking(False)
        with suppress(OSError):  # somebody else listens there who did not mind our being bound
            bound.listen(_BACKLOG)
            self._watch(bound, target)

    def forget(self, bound: socket.socket) -> None:
        """Take no more: to be called before the socket is closed."""
        self._loop.unregister(bound.fileno())

    def _watch(self, bound: socket.socket, target: bytes) -> None:
        if bound.fileno() >= 0:
            self._loop.register(bound.fileno(), lambda: self._accept(bound, target))

    def _accept(self, bound: socket.socket, target: bytes) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _address = bound.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:  # it stays readable: look away for a moment
                    self._loop.unregister(bound.fileno())
                    self._loop.call_later(_PAUSE_S, lambda: self._watch(bound, target))
                return
            with client, suppress(OSError):  # nobody can carry it: it is closed
                self._hand_over(client, target)

    def _hand_over(self, client: socket.socket, target: bytes) -> None:
        if self._channel is not None:
            try:
                socket.send_fds(self._channel, [target], [client.fileno()])
                return
            except (BrokenPipeError, ConnectionError):  # it has ended
                self._channel.close()
        self._channel = self._start()
        socket.send_fds(self._channel, [target], [client.fileno()])

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                raise
            if pid == 0:
                _be_relay(theirs.fileno())
        self._helpers.add(pid)
        return ours


def _be_relay(channel: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(channel, _CHANNEL, inheritable=False)
        # What it held of ours would outlive us with it: sockets, pipes, terminals, the lock of the engine.
        libc.close_range(_CHANNEL + 1)
        with open("/proc/self/comm", "wb") as name:
            name.write(_NAME)
        carry(Loop(), socket.socket(fileno=_CHANNEL))
    finally:
        os._exit(0)
