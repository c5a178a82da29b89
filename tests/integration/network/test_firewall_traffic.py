"""Packets through real bridges and a real nftables table."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel import nftables
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.netns import in_netns
from stackctl.runtime.kernel.rtnetlink import add_route
from stackctl.runtime.network.addresses import mac_of
from stackctl.runtime.network.bridges import our_bridges, remove_bridge
from stackctl.runtime.network.firewall import Backend, Firewall, FirewallPort, FirewallState

if TYPE_CHECKING:
    from .conftest import Lab

HOST = "192.0.2.1"
OUTSIDE = "192.0.2.2"
A, B, C = "10.208.0.2", "10.208.0.3", "10.208.16.2"


@pytest.fixture
def firewall(lab: Lab) -> Iterator[Firewall]:  # noqa: ARG001
    firewall = Firewall("abcdef")
    yield firewall
    firewall.remove()
    firewall.close()


class Town:
    """Networks 0 and 1; containers a and b on the first, c on the second, each serving port 80."""

    def __init__(self, lab: Lab, firewall: Firewall) -> None:
        self.lab, self.firewall = lab, firewall
        first, self.first = lab.network(0)
        second, self.second = lab.network(1)
        self.a = lab.container((first, A))
        self.b = lab.container((first, B))
        self.c = lab.container((second, C))
        for netns, name in ((self.a, "a"), (self.b, "b"), (self.c, "c")):
            lab.serve(netns, 80, name)

    def publish(self, *addresses: str, host_ip: str = "", protocol: str = "tcp") -> None:
        backends = tuple(Backend(address, 80) for address in addresses)
        port = FirewallPort(protocol, host_ip, 8080, backends)  # type: ignore[arg-type]
        self.firewall.apply(FirewallState((self.first, self.second), (port,)))


@pytest.fixture
def town(lab: Lab, firewall: Firewall) -> Town:
    town = Town(lab, firewall)
    town.publish(A, B)
    return town


def answers(lab: Lab, netns: int | None, address: str, count: int = 6) -> Counter[str]:
    return Counter(lab.ask(netns, address, 8080).split()[0] for _ in range(count))


@pytest.mark.usefixtures("town")
def test_a_published_port_takes_replicas_in_turn_from_outside(lab: Lab) -> None:
    assert answers(lab, lab.outside, HOST) == {"a": 3, "b": 3}
    assert lab.ask(lab.outside, HOST, 8080).split()[1] == OUTSIDE


@pytest.mark.parametrize("address", ["127.0.0.1", HOST, "10.208.0.1"])
@pytest.mark.usefixtures("town")
def test_a_published_port_is_reachable_on_the_host_itself(lab: Lab, address: str) -> None:
    assert answers(lab, None, address) == {"a": 3, "b": 3}


def test_containers_reach_published_ports_through_the_host_also_their_own(lab: Lab, town: Town) -> None:
    assert answers(lab, town.a, HOST) == {"a": 3, "b": 3}
    assert answers(lab, town.a, "10.208.0.1") == {"a": 3, "b": 3}
    assert answers(lab, town.c, HOST) == {"a": 3, "b": 3}


def test_a_port_on_one_host_address_is_not_on_the_others(lab: Lab, town: Town) -> None:
    town.publish(A, host_ip="127.0.0.1")
    assert lab.ask(None, "127.0.0.1", 8080).startswith("a")
    with pytest.raises(ConnectionRefusedError):
        lab.ask(lab.outside, HOST, 8080)


def test_a_port_without_replicas_refuses(lab: Lab, town: Town) -> None:
    town.publish()
    with pytest.raises(ConnectionRefusedError):
        lab.ask(lab.outside, HOST, 8080)
    town.publish(B)
    assert answers(lab, lab.outside, HOST) == {"b": 6}


def test_a_table_that_somebody_removed_is_made_anew_with_the_next_change(lab: Lab, town: Town) -> None:
    batch = nftables.Batch()
    batch.delete_table("stackctl-abcdef")
    with nftables.open_nftables() as netlink:
        batch.commit(netlink)
    assert not town.firewall.is_there()
    town.publish(B)
    assert town.firewall.is_there()
    assert answers(lab, lab.outside, HOST) == {"b": 6}


def test_networks_are_apart(lab: Lab, town: Town) -> None:
    assert lab.ask(town.a, B, 80) == f"b {A}"
    for client, address in ((town.a, C), (town.c, A)):
        with pytest.raises(TimeoutError):
            lab.ask(client, address, 80, timeout=0.3)


def test_a_neighbour_of_the_host_does_not_reach_containers(lab: Lab, town: Town) -> None:
    with Netlink.inside(lab.outside) as far:
        far.transact([add_route("10.208.0.0", 12, gateway=HOST)])
    with pytest.raises(TimeoutError):
        lab.ask(lab.outside, A, 80, timeout=0.3)
    town.firewall.remove()
    assert lab.ask(lab.outside, A, 80).startswith("a")  # so it was the firewall


def test_a_container_does_not_reach_the_loopback_of_the_host(town: Town) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 9000))
        service.settimeout(0.2)
        for source, target in ((A, "127.0.0.1"), ("127.0.0.1", "127.0.0.1")):
            send_crafted(town.a, source, target, 9000)
        with pytest.raises(TimeoutError):
            service.recv(10)
        town.firewall.remove()
        send_crafted(town.a, A, "127.0.0.1", 9000)
        assert service.recv(10) == b"hello"  # so it was the firewall


def send_crafted(netns: int, source: str, target: str, port: int) -> None:
    """One UDP packet to the gateway of the first network, whatever its addresses say."""
    udp = struct.pack(">HHHH", 5555, port, 8 + 5, 0) + b"hello"
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends
    total = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack(">H", total ^ 0xFFFF) + header[12:]
    with in_netns(netns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(mac_of("10.208.0.1") + mac_of(A) + b"\x08\x00" + header + udp)


def test_containers_reach_the_outside_with_the_hosts_address(lab: Lab, town: Town) -> None:
    lab.serve(lab.outside, 7000, "out")
    assert lab.ask(town.a, OUTSIDE, 7000) == f"out {HOST}"
    assert lab.ask_udp(town.c, OUTSIDE, 7000) == f"out {HOST}"


def test_an_internal_network_has_no_way_out_and_none_in(lab: Lab, firewall: Firewall) -> None:
    inner, inner_network = lab.network(0, is_internal=True)
    open_, open_network = lab.network(1)
    a = lab.container((inner, A))  # with a default route, as if a container had set one itself
    b = lab.container((inner, B), is_internal=True)
    c = lab.container((open_, C))
    for netns, name in ((a, "a"), (b, "b"), (c, "c"), (lab.outside, "out")):
        lab.serve(netns, 80, name)
    port = FirewallPort("tcp", "", 8080, (Backend(C, 80),))
    firewall.apply(FirewallState((inner_network, open_network), (port,)))
    assert lab.ask(a, B, 80) == f"b {A}"
    for client, address, number in ((a, OUTSIDE, 80), (a, HOST, 8080), (c, A, 80)):
        with pytest.raises(TimeoutError):
            lab.ask(client, address, number, timeout=0.3)
    with pytest.raises(OSError, match="unreachable"):
        lab.ask(b, OUTSIDE, 80, timeout=0.3)


def test_no_connection_is_refused_while_replicas_are_swapped(lab: Lab, town: Town) -> None:
    until = time.monotonic() + 1.0
    outcomes: Counter[str] = Counter()

    def client() -> None:
        while time.monotonic() < until:
            try:
                with sockets.pop() as connection:
                    connection.settimeout(2)
                    connection.connect((HOST, 8080))
                    outcomes[connection.recv(10).decode()[:1]] += 1
            except OSError as failure:
                outcomes[repr(failure)] += 1
            except IndexError:
                return

    # Threads start in the namespace of the one that makes them, but sockets are made here to be plain.
    sockets = [lab.client(lab.outside, socket.SOCK_STREAM) for _ in range(600)]
    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    swaps = 0
    while any(thread.is_alive() for thread in threads):
        town.publish(*((A,), (B,), (A, B))[swaps % 3])
        if swaps % 5 == 0:
            town.firewall.replace(
                FirewallState((town.first, town.second), (FirewallPort("tcp", "", 8080, (Backend(A, 80),)),))
            )
        swaps += 1
    for thread in threads:
        thread.join()
    for rest in sockets:
        rest.close()
    assert set(outcomes) <= {"a", "b"}
    assert outcomes.total() > 50
    assert swaps > 50


def test_an_established_connection_outlives_a_new_table(lab: Lab, town: Town) -> None:
    with in_netns(town.a):
        listener = socket.create_server(("0.0.0.0", 81))
    port = FirewallPort("tcp", "", 8081, (Backend(A, 81),))
    networks = (town.first, town.second)
    town.firewall.apply(FirewallState(networks, (port,)))
    with lab.client(lab.outside, socket.SOCK_STREAM) as client, listener:
        client.settimeout(2)
        client.connect((HOST, 8081))
        server, _ = listener.accept()
        with server:
            town.firewall.apply(FirewallState(networks, (port._replace(backends=(Backend(B, 81),)),)))
            town.firewall.replace(FirewallState(networks, ()))
            client.sendall(b"still there")
            assert server.recv(100) == b"still there"
            server.sendall(b"yes")
            assert client.recv(100) == b"yes"


def test_a_udp_flow_leaves_a_replica_that_went(lab: Lab, town: Town) -> None:
    town.publish(protocol="udp")
    with lab.client(lab.outside, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"?", (HOST, 8080))  # nobody serves: a flow to the host itself
        answers: list[str] = []
        for address in (A, B):
            town.publish(address, protocol="udp")
            for _ in range(2):
                client.sendto(b"?", (HOST, 8080))
                try:
                    answers.append(client.recv(100).decode()[:1])
                except ConnectionRefusedError:
                    client.sendto(b"?", (HOST, 8080))
                    answers.append(client.recv(100).decode()[:1])
    assert answers == ["a", "a", "b", "b"]


def test_removal_leaves_nothing(lab: Lab, town: Town) -> None:
    with nftables.open_nftables() as netlink:
        assert nftables.tables(netlink) == ["stackctl-abcdef"]
        town.firewall.remove()
        town.firewall.remove()
        assert nftables.tables(netlink) == []
    for bridge in our_bridges("abcdef", netlink=lab.netlink):
        remove_bridge(bridge.name, netlink=lab.netlink)
        remove_bridge(bridge.name, netlink=lab.netlink)
    assert our_bridges("abcdef", netlink=lab.netlink) == ()
