"""Bridges, attachments and what the host is seen to have."""

from __future__ import annotations

import os
import select
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from stackctl.errors import ContainerError
from stackctl.model.network import NetworkSpec
from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink, NetlinkError
from stackctl.runtime.kernel.netns import in_netns
from stackctl.runtime.kernel.nftables import FORWARD, Batch, open_nftables, rules
from stackctl.runtime.network.addresses import parse_mac
from stackctl.runtime.network.bridges import Endpoint, attach, bridge_name, create_bridge
from stackctl.runtime.network.foreign_firewalls import accept_in_docker_user, notices, remove_from_docker_user
from stackctl.runtime.network.host import subnet_lock, taken_subnets
from stackctl.runtime.network.ipam import plan_addressing

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Lab


def read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def test_a_bridge_is_made_once_and_found_again(lab: Lab) -> None:
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("0")  # a new namespace has what the machine has
    first = create_bridge(bridge_name("abcdef", "000001"), netlink=lab.netlink, gateway="10.208.0.1", prefix=20)
    again = create_bridge(bridge_name("abcdef", "000001"), netlink=lab.netlink, gateway="10.208.0.1", prefix=20)
    assert again == replace(first, notices=())
    assert len(first.notices) == 1
    (link,) = (link for link in rtnetlink.links(lab.netlink) if link.ifindex == first.index)
    assert (link.name, link.kind, link.mac, link.is_up) == (
        "scabcdef-000001",
        "bridge",
        "02:42:0a:d0:00:01",
        True,
    )
    assert read("/proc/sys/net/ipv4/ip_forward") == "1"
    assert read(f"/proc/sys/net/ipv4/conf/{first.name}/route_localnet") == "1"
    assert read(f"/proc/sys/net/ipv6/conf/{first.name}/disable_ipv6") == "1"


def test_a_container_gets_its_interfaces_addresses_and_one_default_route(lab: Lab) -> None:
    internal, _ = lab.network(0)
    first, _ = lab.network(1)
    second, _ = lab.network(2)
    fd = lab.new_netns()
    attach(
        fd,
        [
            Endpoint(internal.index, "10.208.0.2", 20),
            Endpoint(first.index, "10.208.16.2", 20, first.gateway, parse_mac("02:00:00:00:00:07"), 1400),
            Endpoint(second.index, "10.208.32.2", 20, second.gateway),
        ],
        netlink=lab.netlink,
        sysctls=[("net.ipv4.tcp_syn_retries", "3"), ("net.ipv4.conf.eth0.forwarding", "1")],
    )
    with Netlink.inside(fd) as inside:
        links = {link.name: link for link in rtnetlink.links(inside)}
        assert links["lo"].is_up
        assert (links["eth1"].mac, links["eth1"].mtu) == ("02:00:00:00:00:07", 1400)
        assert links["eth0"].mac == "02:42:0a:d0:00:02"
        names = {link.ifindex: name for name, link in links.items()}
        found = {(names[a.ifindex], a.address, a.prefix) for a in rtnetlink.addresses(inside)}
        assert found == {
            ("lo", "127.0.0.1", 8),
            ("eth0", "10.208.0.2", 20),
            ("eth1", "10.208.16.2", 20),
            ("eth2", "10.208.32.2", 20),
        }
        defaults = [route for route in rtnetlink.routes(inside) if route.prefix == 0]
        assert [(route.gateway, names[route.ifindex]) for route in defaults] == [("10.208.16.1", "eth1")]
    with in_netns(fd):
        assert read("/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1"
        assert read("/proc/sys/net/ipv6/conf/lo/disable_ipv6") == "0"
        assert read("/proc/sys/net/ipv4/ip_unprivileged_port_start") == "0"
        assert read("/proc/sys/net/ipv4/ping_group_range").split() == ["0", "2147483647"]
        assert read("/proc/sys/net/ipv4/tcp_syn_retries") == "3"
        assert read("/proc/sys/net/ipv4/conf/eth0/forwarding") == "1"


def test_only_sysctls_of_the_namespace_are_written(lab: Lab) -> None:
    for name in ("kernel.hostname", "net.ipv4/../../kernel/hostname", "net....kernel.hostname"):
        with pytest.raises(ContainerError, match="cannot be set"):
            attach(lab.new_netns(), [], netlink=lab.netlink, sysctls=[(name, "x")])


def test_a_replaced_container_is_reached_at_once_while_the_old_port_is_still_there(lab: Lab) -> None:
    bridge, _ = lab.network(0)
    old = lab.container((bridge, "10.208.0.2"))
    lab.serve(old, 80, "old")
    assert lab.ask(None, "10.208.0.2", 80).startswith("old")
    new = lab.container((bridge, "10.208.0.2"))
    lab.serve(new, 80, "new")
    assert lab.ask(None, "10.208.0.2", 80).startswith("new")


def test_what_bridges_tell_of_their_ports_wakes_nobody_who_watches_interfaces(lab: Lab) -> None:
    with Netlink() as everything, Netlink() as interfaces:
        interfaces.leave_out(socket.AF_BRIDGE)
        for watching in (everything, interfaces):
            watching.join(1)

        bridge, _ = lab.network(0)
        lab.container((bridge, "10.208.0.2"))

        assert socket.AF_BRIDGE in _families(everything)
        assert set(_families(interfaces)) == {socket.AF_UNSPEC}


def _families(watching: Netlink) -> list[int]:
    found = []
    with socket.socket(fileno=os.dup(watching.fileno())) as reading:
        while select.select([reading], [], [], 0)[0]:
            found.append(reading.recv(1 << 16)[16])
    return found


def test_the_way_back_from_a_namespace_survives_an_exception(lab: Lab) -> None:
    here = os.stat("/proc/thread-self/ns/net").st_ino
    with pytest.raises(KeyError), in_netns(lab.outside):
        assert os.stat("/proc/thread-self/ns/net").st_ino != here
        raise KeyError
    assert os.stat("/proc/thread-self/ns/net").st_ino == here


def test_errors_say_what_was_tried_and_why_not(lab: Lab) -> None:
    with pytest.raises(NetlinkError) as caught:
        lab.netlink.transact([rtnetlink.create_bridge("b0", mac=bytes.fromhex("010000000000"))])
    assert caught.value.filename == "create bridge b0"
    with pytest.raises(NetlinkError, match=r"[Nn]exthop|unreachable"):
        lab.netlink.transact([rtnetlink.add_default_route("203.0.113.1")])


def test_subnets_of_interfaces_routes_and_resolvers_are_avoided(lab: Lab, tmp_path: Path) -> None:
    lab.network(0)
    lab.netlink.transact([rtnetlink.add_route("10.208.16.0", 24, gateway="192.0.2.2")])
    with subnet_lock(str(tmp_path / "lock")):
        found = taken_subnets(lab.netlink, resolvers=("10.208.32.53", "2001:db8::1"))
        assert str(plan_addressing(NetworkSpec(name="a"), found).subnet) == "10.208.48.0/20"
    words = {f"{taken.subnet} {taken.by}" for taken in found}
    assert {
        "10.208.0.0/20 interface scabcdef-000000",
        "192.0.2.0/24 interface uplink",
        "10.208.16.0/24 a route through 192.0.2.2",
        "10.208.32.53/32 name server 10.208.32.53",
    } <= words


def test_docker_is_asked_to_let_our_traffic_through_and_only_once(lab: Lab) -> None:  # noqa: ARG001
    with open_nftables() as netlink:
        assert not accept_in_docker_user(netlink, "abcdef")
        batch = Batch()
        batch.add_table("filter")
        batch.add_base_chain("filter", "FORWARD", kind="filter", hook=FORWARD, priority=0)
        batch.add_chain("filter", "DOCKER-USER")
        batch.commit(netlink)
        assert accept_in_docker_user(netlink, "abcdef")
        assert not accept_in_docker_user(netlink, "abcdef")
        assert accept_in_docker_user(netlink, "123456")
        found = rules(netlink, "filter", "DOCKER-USER")
        assert [rule.comment for rule in found].count("stackctl abcdef") == 2
        remove_from_docker_user(netlink, "abcdef")
        remove_from_docker_user(netlink, "abcdef")
        assert {rule.comment for rule in rules(netlink, "filter", "DOCKER-USER")} == {"stackctl 123456"}


def test_other_firewalls_are_named(lab: Lab, tmp_path: Path) -> None:  # noqa: ARG001
    configuration = tmp_path / "ufw.conf"
    configuration.write_text("# comment\nENABLED=yes\n")
    with open_nftables() as netlink:
        (notice,) = notices(netlink, ufw_configuration=str(configuration))
        assert notice.startswith("ufw is active")
        assert notices(netlink, ufw_configuration="/nonexistent") == ()
