"""The DNS server, asked from inside a container's namespace by a client made by hand."""

from __future__ import annotations

import os
import socket
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
from tests.support.dns_client import AAAA, PTR, A, Answer, ask, ask_tcp, question
from tests.support.name_server import NameServer

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Lab


class Resolver:
    """A container with a server behind 127.0.0.11."""

    def __init__(self, lab: Lab, server: DnsServer, container_id: str, servers: tuple[str, ...] | None) -> None:
        self.netns = lab.new_netns()
        attach(self.netns, [], netlink=lab.netlink)
        self.dns = server.serve(container_id, self.netns, servers=servers)
        self.lab = lab

    def ask(self, name: str, kind: int = A, *, timeout: float = 5.0) -> Answer:
        return ask(self.lab.client(self.netns, socket.SOCK_DGRAM), name, kind, timeout=timeout)

    def ask_tcp(self, name: str, kind: int = A) -> Answer:
        return ask_tcp(self.lab.client(self.netns, socket.SOCK_STREAM), name, kind)


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
def upstream(lab: Lab) -> Iterator[NameServer]:  # noqa: ARG001
    upstream = NameServer("127.0.0.53")
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
    loop.close()


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
    assert web.ask("2.0.208.10.in-addr.arpa", PTR) == (0, False, ["db-0.front"])


def test_other_names_go_to_the_servers_of_the_host(web: Resolver, upstream: NameServer) -> None:
    assert web.ask("example.org") == (0, False, ["203.0.113.9"])
    assert web.ask_tcp("example.org") == (0, False, ["203.0.113.9"])
    assert web.ask("long.example") == (0, True, [])
    assert web.ask_tcp("long.example") == (0, False, ["203.0.113.9"])
    assert upstream.asked == ["example", "example", "long", "long"]


def test_a_silent_server_is_a_failure_in_the_end(web: Resolver, upstream: NameServer) -> None:
    assert web.ask("silent.example", timeout=6) == (2, False, [])
    assert upstream.asked == ["silent"]


def test_a_container_without_a_way_out_asks_nobody(lab: Lab, server: DnsServer, upstream: NameServer) -> None:
    inner = Resolver(lab, server, "inner", ())
    assert inner.ask("example.org") == (3, False, [])
    assert upstream.asked == []


def test_servers_of_the_container_are_asked_instead(lab: Lab, server: DnsServer, upstream: NameServer) -> None:
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
