"""The DNS server of every container, at 127.0.0.11 in its own network namespace.

It listens on a high port there, and a small nftables table sends port 53 of that address to it: a socket on
:53 itself would be in the way of a name server inside the container. Questions about other names go on to the
host's servers, from sockets in the host's namespace.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import in_netns
from stackctl.runtime.kernel.nftables import OUTPUT, PRIORITY_DSTNAT, Batch, open_nftables
from stackctl.runtime.network import dns
from stackctl.runtime.network.dns_forward import Forwarder, Loop
from stackctl.runtime.network.resolv import DNS_ADDRESS, ResolverSettings, parse_resolv_conf

_TABLE: Final = "stackctl-dns"
_DNS_PORT: Final = 53
_BIND_ATTEMPTS: Final = 16
_DATAGRAM_BYTES: Final = 4096
_BURST: Final = 64
_CONNECTIONS: Final = 32
_IDLE_S: Final = 10.0
_CLEARED_UP_S: Final = 0.2


# (container id, name in lower case without final dot) -> its addresses in the order to give them, None when
# it is no name the container can see.
_WAIT_S: Final = 0.05
Lookup = Callable[[str, str], tuple[str, ...] | None]
# (container id, IPv4 address) -> its name, None when it is no address the container can see.
Reverse = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class DnsSockets:
    """The server's sockets in one namespace. They pin it: close them as soon as its container has ended."""

    udp: socket.socket
    tcp: socket.socket
    port: int
    rules: Netlink

    def close(self) -> None:
        """Close all."""
        self.udp.close()
        self.tcp.close()
        self.rules.close()


def open_sockets(netns_fd: int, *, port: int = 0) -> DnsSockets:
    """Open the server's sockets in a namespace and send its port 53 of 127.0.0.11 to them.

    To be done after ``bridges.attach`` and before anything else runs there; or again, by the next
    supervisor, best with the ``port`` of the former so that what clients are waiting for arrives. The
    loopback interface must be up: binding its address freely before loses it as the source of answers. Raises
    OSError.

    The socket that the rules went through, ``rules``, does nothing more, but closing it waits until the kernel has
    cleared up after the transaction: 4 to 20 ms at once, nothing soon after.
    """
    with in_netns(netns_fd):
        netlink = open_nftables()
        try:
            udp, tcp = _bind_pair(port)
        except OSError:
            netlink.close()
            raise
    sockets = DnsSockets(udp, tcp, udp.getsockname()[1], netlink)
    try:
        _redirect(sockets.port).commit(netlink)
    except OSError:
        sockets.close()
        raise
    return sockets


class HostResolvers:
    """The name servers of the host, read again whenever the file has changed."""

    __slots__ = ("_path", "_settings", "_stamp")

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._settings = ResolverSettings()

    def settings(self) -> ResolverSettings:
        """Return what the file says now; nothing when it cannot be read."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._settings = parse_resolv_conf(file.read())
                self._stamp = stamp
        except OSError:
            self._stamp, self._settings = None, ResolverSettings()
        return self._settings


@dataclass(slots=True)
class _Client:
    """A container that is served. ``servers`` None: the host's; (): none, it has no way out."""

    sockets: DnsSockets
    servers: tuple[str, ...] | None
    connections: set[_Connection] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ContainerDns:
    """The service of one container."""

    port: int
    close: Callable[[], None]


class DnsServer:
    """Answers all containers of an engine from one event loop. Lives in the host's network namespace."""

    __slots__ = ("_clients", "_forwarder", "_is_waiting", "_lookup", "_loop", "_resolvers", "_reverse")

    def __init__(
        self,
        loop: Loop,
        lookup: Lookup,
        reverse: Reverse,
        *,
        resolvers: HostResolvers | None = None,
        is_waiting: Callable[[str, str], bool] = lambda _container, _name: False,
    ) -> None:
        """``is_waiting`` says of a container and a name that the answer is not to be given yet; it is asked again."""
        self._is_waiting = is_waiting
        self._loop = loop
        self._lookup = lookup
        self._reverse = reverse
        self._resolvers = resolvers or HostResolvers()
        self._forwarder = Forwarder(loop)
        self._clients: dict[str, _Client] = {}

    def serve(
        self, container_id: str, netns_fd: int, *, servers: tuple[str, ...] | None = None, port: int = 0
    ) -> ContainerDns:
        """Serve a container from now on; ``netns_fd`` and ``port`` are those of ``open_sockets``.

        ``servers`` are asked about names that are not ours: None means the host's at that time, () that
        nobody is, as for a container with internal networks only: what it asked would leave the host
        (CVE-2024-29018). Raises OSError.
        """
        self.close(container_id)
        sockets = open_sockets(netns_fd, port=port)
        client = _Client(sockets, servers)
        self._clients[container_id] = client
        self._loop.register(sockets.udp.fileno(), lambda: self._on_datagrams(container_id))
        self._loop.register(sockets.tcp.fileno(), lambda: self._on_connection(container_id))
        self._loop.call_later(_CLEARED_UP_S, sockets.rules.close)
        return ContainerDns(sockets.port, lambda: self._close(container_id, client))

    def ask(self, container_id: str, servers: tuple[str, ...] | None) -> None:
        """Have other servers asked from now on; harmless for a container that is not served."""
        client = self._clients.get(container_id)
        if client is not None:
            client.servers = servers

    def close(self, container_id: str) -> None:
        """Stop serving a container and let go of its namespace; harmless when it is not served."""
        client = self._clients.get(container_id)
        if client is not None:
            self._close(container_id, client)

    def close_all(self) -> None:
        """Stop serving."""
        for container_id in list(self._clients):
            self.close(container_id)

    def _close(self, container_id: str, client: _Client) -> None:
        if self._clients.get(container_id) is not client:
            return  # closed already, and perhaps served anew
        del self._clients[container_id]
        for connection in list(client.connections):
            connection.close()
        self._loop.unregister(client.sockets.udp.fileno())
        self._loop.unregister(client.sockets.tcp.fileno())
        client.sockets.close()
        self._forwarder.forget(container_id)

    def _on_datagrams(self, container_id: str) -> None:
        client = self._clients.get(container_id)
        if client is None:
            return
        udp = client.sockets.udp
        for _ in range(_BURST):
            try:
                data, address = udp.recvfrom(_DATAGRAM_BYTES)
            except OSError:
                return

            def reply(answer: bytes, to: tuple[str, int] = address) -> None:
                try:
                    udp.sendto(answer, to)
                except OSError:
                    return  # its buffer is full or it has gone: it will ask again, or not

            self._answer(container_id, client, data, reply, is_tcp=False)

    def _on_connection(self, container_id: str) -> None:
        client = self._clients.get(container_id)
        if client is None:
            return
        try:
            accepted, _ = client.sockets.tcp.accept()
        except OSError:
            return
        if len(client.connections) >= _CONNECTIONS:
            accepted.close()
            return

        def on_query(data: bytes, reply: Callable[[bytes], None]) -> None:
            self._answer(container_id, client, data, reply, is_tcp=True)

        client.connections.add(_Connection(self._loop, accepted, on_query, client.connections.discard))

    def _answer(
        self,
        container_id: str,
        client: _Client,
        data: bytes,
        reply: Callable[[bytes], None],
        *,
        is_tcp: bool,
    ) -> None:
        query = dns.parse_query(data)
        if query is None:
            return
        if isinstance(query, bytes):
            reply(query)
            return
        if self._is_waiting(container_id, query.name):
            self._loop.call_later(_WAIT_S, lambda: self._answer_later(container_id, client, data, reply, is_tcp=is_tcp))
            return
        answer = self._local_answer(container_id, query, is_tcp=is_tcp)
        if answer is not None:
            reply(answer)
            return
        servers = self._resolvers.settings().servers if client.servers is None else client.servers
        if client.servers == ():
            reply(dns.answer_code(query, dns.Code.NAME_ERROR))
        else:
            self._forwarder.ask(container_id, query, data, servers=servers, reply=reply, is_tcp=is_tcp)

    def _answer_later(
        self, container_id: str, client: _Client, data: bytes, reply: Callable[[bytes], None], *, is_tcp: bool
    ) -> None:
        if self._clients.get(container_id) is client:
            self._answer(container_id, client, data, reply, is_tcp=is_tcp)

    def _local_answer(self, container_id: str, query: dns.Query, *, is_tcp: bool) -> bytes | None:
        if query.cls != dns.CLASS_IN:
            return None
        address = query.reverse_address
        if address:
            name = self._reverse(container_id, address)
            return None if name is None else dns.answer_names(query, (name,), is_tcp=is_tcp)
        addresses = self._lookup(container_id, query.name)
        return None if addresses is None else dns.answer_addresses(query, addresses, is_tcp=is_tcp)


class _Connection:
    """A client's TCP connection: messages with their length in front, in both directions."""

    __slots__ = ("_buffer", "_is_open", "_loop", "_on_close", "_on_query", "_socket", "_timer")

    def __init__(
        self,
        loop: Loop,
        accepted: socket.socket,
        on_query: Callable[[bytes, Callable[[bytes], None]], None],
        on_close: Callable[[_Connection], None],
    ) -> None:
        self._loop, self._socket = loop, accepted
        self._on_query, self._on_close = on_query, on_close
        self._buffer = b""
        self._is_open = True
        accepted.setblocking(False)
        loop.register(accepted.fileno(), self._on_readable)
        self._timer = loop.call_later(_IDLE_S, self.close)

    def close(self) -> None:
        """Close the connection; harmless a second time."""
        if self._is_open:
            self._is_open = False
            self._timer.cancel()
            self._loop.unregister(self._socket.fileno())
            self._socket.close()
            self._on_close(self)

    def _on_readable(self) -> None:
        if not self._is_open:
            return
        try:
            data = self._socket.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._buffer += data
        while len(self._buffer) >= 2 and self._is_open:
            length = int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < 2 + length:
                return
            message, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            self._on_query(message, self._reply)

    def _reply(self, answer: bytes) -> None:
        if not self._is_open:
            return
        framed = len(answer).to_bytes(2, "big") + answer
        try:
            is_sent = self._socket.send(framed) == len(framed)
        except OSError:
            is_sent = False
        if not is_sent:
            self.close()  # it does not read what it asked for


def _bind_pair(wanted: int) -> tuple[socket.socket, socket.socket]:
    for port in (wanted, *(0,) * _BIND_ATTEMPTS):
        udp = _nonblocking(socket.SOCK_DGRAM)
        tcp = _nonblocking(socket.SOCK_STREAM)
        try:
            # Connections of a former server may linger on its port.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((DNS_ADDRESS, port))
            tcp.bind((DNS_ADDRESS, udp.getsockname()[1]))
            tcp.listen(_CONNECTIONS)
        except OSError as failure:
            udp.close()
            tcp.close()
            if failure.errno != errno.EADDRINUSE:
                raise
            continue
        return udp, tcp
    raise OSError(errno.EADDRINUSE, f"no port is free for UDP and TCP alike on {DNS_ADDRESS}")


def _nonblocking(kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


def _redirect(port: int) -> Batch:
    batch = Batch()
    # Anew: an earlier supervisor may have sent the queries to a socket that went with it.
    batch.add_table(_TABLE)
    batch.delete_table(_TABLE)
    batch.add_table(_TABLE)
    batch.add_base_chain(_TABLE, "output", kind="nat", hook=OUTPUT, priority=PRIORITY_DSTNAT)
    batch.flush_chain(_TABLE, "output")
    ours = (x.ip_destination(), x.equal(x.address(DNS_ADDRESS)))
    for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        asked = (x.meta(x.META_L4PROTO), x.equal(bytes((protocol,))))
        number = (x.destination_port(), x.equal(x.port(_DNS_PORT)))
        target = (x.load(x.address(DNS_ADDRESS), x.REG0), x.load(x.port(port), x.REG1))
        batch.add_rule(_TABLE, "output", *ours, *asked, *number, *target, x.redirect())
    return batch
