"""The DNS server, asked from inside a container's namespace by a client made by hand."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netns import in_netns, make_netns
from stackctl.runtime.loop import Loop
from stackctl.runtime.network.bridges import Endpoint, attach
from stackctl.runtime.network.dns_server import DnsServer, HostResolvers
from stackctl.runtime.network.zone import NetworkZone

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Lab

A, AAAA, PTR = 1, 28, 12


def question(name: str, kind: int, identity: int = 0x1234) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part) + b"\0"
    return struct.pack(">HHHHHH", identity, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)


class Upstream:
    """A name server on the host: over UDP it cuts what begins with "long" and keeps quiet about "silent"."""

    def __init__(self, address: str) -> None:
        self.asked: list[str] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.create_server((address, 53))
        self.is_over = False
        self.threads = [threading.Thread(target=self._serve, args=(each,)) for each in (self.udp, self.tcp)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.is_over = True
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    def _serve(self, server: socket.socket) -> None:
        server.settimeout(0.05)
        while not self.is_over:
            try:
                if server is self.udp:
                    data, client = server.recvfrom(512)
                    answer = self._answer(data, is_tcp=False)
                    if answer:
                        server.sendto(answer, client)
                else:
                    connection, _ = server.accept()
                    with connection:
                        data = connection.recv(512)[2:]
                        answer = self._answer(data, is_tcp=True)
                        connection.sendall(len(answer).to_bytes(2, "big") + answer)
            except TimeoutError:
                continue

    def _answer(self, data: bytes, *, is_tcp: bool) -> bytes:
        first = data[13 : 13 + data[12]].decode()
        self.asked.append(first)
        if first == "silent":
            return b""
        if first == "long" and not is_tcp:
            return data[:2] + b"\x83\x80" + data[4:]
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton("203.0.113.9")
        return data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:] + record


class Resolver:
    """A container with a server behind 127.0.0.11."""

    def __init__(self, lab: Lab, server: DnsServer, container_id: str, servers: tuple[str, ...] | None) -> None:
        self.netns = lab.new_netns()
        attach(self.netns, [], netlink=lab.netlink)
        self.dns = server.serve(container_id, self.netns, servers=servers)
        self.lab = lab

    def ask(self, name: str, kind: int = A, *, timeout: float = 5.0) -> tuple[int, bool, list[str]]:
        """Response code, cut, addresses."""
        with self.lab.client(self.netns, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect(("127.0.0.11", 53))
            client.send(question(name, kind))
            return self._read(client.recv(1500), name)

    def ask_tcp(self, name: str, kind: int = A) -> tuple[int, bool, list[str]]:
        with self.lab.client(self.netns, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.11", 53))
            message = question(name, kind)
            client.sendall((len(message).to_bytes(2, "big") + message)[:5])
            client.sendall((len(message).to_bytes(2, "big") + message)[5:])
            answer = b""
            while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
                answer += client.recv(65535)
            return self._read(answer[2:], name)

    @staticmethod
    def _read(answer: bytes, name: str) -> tuple[int, bool, list[str]]:
        identity, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", answer)
        assert identity == 0x1234
        offset = 12 + len(name.rstrip(".")) + 2 + 4
        addresses = [socket.inet_ntoa(answer[offset + 16 * n + 12 : offset + 16 * n + 16]) for n in range(count)]
        return flags & 15, bool(flags & 0x0200), addresses


@pytest.fixture
def zone() -> NetworkZone:
    zone = NetworkZone()
    zone.join("web", "front")
    for number in range(2):
        zone.announce(f"db{number}", "front", name=f"db-{number}", aliases=("db",), address=f"10.208.0.{number + 2}")
    for number in range(60):
        zone.announce(f"n{number}", "front", name=f"n-{number}", aliases=("many",), address=f"10.208.1.{number + 2}")
    return zone


@pytest.fixture
def upstream(lab: Lab) -> Iterator[Upstream]:  # noqa: ARG001
    upstream = Upstream("127.0.0.53")
    yield upstream
    upstream.close()


@pytest.fixture
def server(lab: Lab, zone: NetworkZone, tmp_path: Path) -> Iterator[DnsServer]:  # noqa: ARG001
    configuration = tmp_path / "resolv.conf"
    # The first does not answer at all: nobody is there.
    configuration.write_text("nameserver 127.0.0.99\nnameserver 127.0.0.53\n")
    loop = Loop()
    server = DnsServer(loop, zone.lookup, zone.reverse, resolvers=HostResolvers(str(configuration)))

    def tick() -> None:
        if stopping.is_set():
            server.close_all()
            loop.stop()
        else:
            loop.call_later(0.02, tick)

    stopping = threading.Event()
    tick()
    # A thread begins in the namespace of the one that starts it: the laboratory's host.
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield server
    stopping.set()
    thread.join()


@pytest.fixture
def web(lab: Lab, server: DnsServer) -> Resolver:
    return Resolver(lab, server, "web", None)


def test_names_of_the_network_are_answered_in_rotation(web: Resolver) -> None:
    assert web.ask("db") == (0, False, ["10.208.0.2", "10.208.0.3"])
    assert web.ask("DB.") == (0, False, ["10.208.0.3", "10.208.0.2"])
    assert web.ask_tcp("db-1.front") == (0, False, ["10.208.0.3"])


def test_a_known_name_has_no_ipv6_address(web: Resolver) -> None:
    assert web.ask("db", AAAA) == (0, False, [])


def test_a_long_answer_is_whole_over_tcp(web: Resolver) -> None:
    code, is_cut, addresses = web.ask("many")
    assert (code, is_cut) == (0, True)
    assert len(addresses) < 60
    code, is_cut, addresses = web.ask_tcp("many")
    assert (code, is_cut, len(addresses)) == (0, False, 60)


def test_addresses_are_named(web: Resolver) -> None:
    with web.lab.client(web.netns, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.11", 53))
        client.send(question("2.0.208.10.in-addr.arpa", PTR))
        assert client.recv(512).endswith(b"\x04db-0\x05front\0")


def test_other_names_go_to_the_servers_of_the_host(web: Resolver, upstream: Upstream) -> None:
    assert web.ask("example.org") == (0, False, ["203.0.113.9"])
    assert web.ask_tcp("example.org") == (0, False, ["203.0.113.9"])
    assert web.ask("long.example") == (0, True, [])
    assert web.ask_tcp("long.example") == (0, False, ["203.0.113.9"])
    assert upstream.asked == ["example", "example", "long", "long"]


def test_a_silent_server_is_a_failure_in_the_end(web: Resolver, upstream: Upstream) -> None:
    assert web.ask("silent.example", timeout=6) == (2, False, [])
    assert upstream.asked == ["silent"]


def test_a_container_without_a_way_out_asks_nobody(lab: Lab, server: DnsServer, upstream: Upstream) -> None:
    inner = Resolver(lab, server, "inner", ())
    assert inner.ask("example.org") == (3, False, [])
    assert upstream.asked == []


def test_servers_of_the_container_are_asked_instead(lab: Lab, server: DnsServer, upstream: Upstream) -> None:
    own = Resolver(lab, server, "own", ("127.0.0.53",))
    assert own.ask("example.org") == (0, False, ["203.0.113.9"])
    nobody = Resolver(lab, server, "nobody", ("127.0.0.98",))
    assert nobody.ask("example.org") == (2, False, [])
    assert upstream.asked == ["example"]


def test_rubbish_is_survived(web: Resolver) -> None:
    with web.lab.client(web.netns, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.11", 53))
        for rubbish in (b"", b"\0", b"\xff" * 500, question("db", A)[:-1], b"\0" * 12):
            client.send(rubbish)
    assert web.ask("db")[0] == 0


def test_port_53_stays_free_for_the_container(web: Resolver) -> None:
    with in_netns(web.netns):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as own:
                own.bind(("0.0.0.0", 53))


def test_the_next_supervisor_serves_on_at_the_same_port(server: DnsServer, web: Resolver) -> None:
    with web.lab.client(web.netns, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.11", 53))
        client.send(question("db", A))
        client.recv(512)
        port = web.dns.port
        web.dns.close()
        web.dns = server.serve("web", web.netns, port=port)
        assert web.dns.port == port
        client.send(question("db", A))
        client.recv(512)
    web.dns.close()
    with web.lab.client(web.netns, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.11", port))
        web.dns = server.serve("web", web.netns, port=port)
    assert web.dns.port != port
    assert web.ask("db")[0] == 0


def test_closing_lets_the_namespace_go(lab: Lab, server: DnsServer) -> None:
    bridge, _ = lab.network(0)
    netns = make_netns()
    attach(netns, [Endpoint(bridge.index, "10.208.0.2", 20)], netlink=lab.netlink)
    dns = server.serve("gone", netns)
    os.close(netns)
    dns.close()
    dns.close()
    server.close("gone")
    until = time.monotonic() + 5  # the kernel clears a namespace away in the background
    while any(link.kind == "veth" and link.master for link in rtnetlink.links(lab.netlink)):
        assert time.monotonic() < until
        time.sleep(0.01)
