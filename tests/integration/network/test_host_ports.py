"""Holding host ports, in a laboratory's namespace."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stackctl.model.container import PublishedPort
from stackctl.runtime.network.ports import HostPorts, PortTaken, PortUnavailable

if TYPE_CHECKING:
    from .conftest import Lab


@pytest.fixture
def ports(lab: Lab) -> Iterator[HostPorts]:  # noqa: ARG001
    ports = HostPorts()
    yield ports
    ports.close()


def fixed(number: int, **fields: str) -> PublishedPort:
    return PublishedPort(container_port=80, host_first=number, host_last=number, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_held_port_is_in_use_for_others(ports: HostPorts, family: socket.AddressFamily) -> None:
    assert ports.hold(fixed(8080), "web-1") == 8080
    with socket.socket(family, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 8080))
    ports.release_all("web-1")
    with socket.socket(family, socket.SOCK_STREAM) as other:
        other.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 8080))


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_whoever_has_a_port_is_named(ports: HostPorts, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 8081))
        if kind == "tcp":
            other.listen()
        with pytest.raises(PortTaken) as caught:
            ports.hold(fixed(8081, protocol=kind), "web-1")
    suffix = "" if kind == "tcp" else "/udp"
    with open("/proc/self/comm", encoding="ascii") as file:
        command = file.read().strip()
    assert caught.value.message == f"0.0.0.0:8081{suffix} is held by pid {os.getpid()} ({command})"


def test_a_socket_that_only_holds_is_found_as_well(ports: HostPorts) -> None:
    other = HostPorts()
    other.hold(fixed(8082, host_ip="127.0.0.1"), "other engine")
    try:
        with pytest.raises(PortTaken) as caught:
            ports.hold(fixed(8082), "web-1")
    finally:
        other.close()
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert (f"pid {os.getpid()} " in caught.value.holder) == (release >= (6, 8))


def test_a_container_of_ours_is_named_and_an_address_is_its_own(ports: HostPorts) -> None:
    ports.hold(fixed(8083, host_ip="127.0.0.1"), "container shop-web-1")
    ports.hold(fixed(8083, host_ip="192.0.2.1"), "shop-web-2")
    with pytest.raises(PortTaken, match=r"0\.0\.0\.0:8083 is held by container shop-web-1"):
        ports.hold(fixed(8083), "shop-web-3")
    with pytest.raises(PortUnavailable, match="no address of this host"):
        ports.hold(fixed(8083, host_ip="198.51.100.1"), "shop-web-3")


def test_the_first_free_port_of_a_range_is_taken(ports: HostPorts) -> None:
    wish = PublishedPort(container_port=80, host_first=9000, host_last=9002)
    assert [ports.hold(wish, f"container web-{n}") for n in range(3)] == [9000, 9001, 9002]
    with pytest.raises(PortTaken, match=r"no port from 9000 to 9002 is free: .*container web-0"):
        ports.hold(wish, "web-3")
    ports.release_all("container web-1")
    assert ports.hold(wish, "web-3") == 9001


def test_any_port_is_free_on_both_families(ports: HostPorts) -> None:
    number = ports.hold(PublishedPort(container_port=80), "web-1")
    assert number > 1024
    assert ports.hold(PublishedPort(container_port=81), "web-1") != number
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(("::", number))
    assert ports.hold(PublishedPort(container_port=80, protocol="udp"), "web-1") > 1024


def test_a_share_group_holds_a_port_together(ports: HostPorts) -> None:
    assert ports.hold(fixed(8084, share="shop/web"), "web-1") == 8084
    assert ports.hold(fixed(8084, share="shop/web"), "web-2") == 8084
    with pytest.raises(PortTaken):
        ports.hold(fixed(8084, share="other/web"), "web-3")
    ports.release_all("web-1")
    with pytest.raises(PortTaken):
        ports.hold(fixed(8084), "web-3")
    ports.release_all("web-2")
    assert ports.hold(fixed(8084), "web-3") == 8084


def test_asking_again_gives_the_same_port_and_a_restart_gets_it_back(ports: HostPorts) -> None:
    assert ports.hold(fixed(8085), "web-1") == ports.hold(fixed(8085), "web-1")
    number = ports.hold(PublishedPort(container_port=80), "web-1")
    ports.close()
    assert ports.hold(PublishedPort(container_port=80), "web-1", host_port=number) == number


def test_the_last_connections_of_a_server_that_stopped_do_not_hold_its_port(ports: HostPorts) -> None:
    with socket.create_server(("127.0.0.1", 8086)) as server:
        client = socket.create_connection(("127.0.0.1", 8086))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first waits
        client.close()
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use") as caught:
            other.bind(("0.0.0.0", 8086))
        assert caught.value.errno == errno.EADDRINUSE
    assert ports.hold(fixed(8086), "web-1") == 8086
