"""The network goes on while the supervisor is away."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel.netns import in_netns
from tests.support import dns_client
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

STACK = """
x-service: &service
  image: host
  init: true
  command: python3 -S -E /service.py
  volumes: [./service.py:/service.py:ro]
services:
  web:
    <<: *service
    ports: ["8080:80", "8081:80", "8082:90/udp", "8083-8089:80"]
  other:
    <<: *service
    ports: ["80"]
  customer:
    image: busybox
    init: true
    command: sleep 1000
"""


def kill_supervisor(town: Town) -> None:
    before = town.engine.pid("supervisor")
    os.kill(before, signal.SIGKILL)
    wait_until("there is another supervisor", lambda: town.engine.pid("supervisor") not in (0, before))


@pytest.fixture
def town(own_town: Town) -> Town:
    own_town.up("kept", STACK)
    for service in ("web", "other"):
        own_town.wait_until_it_serves(f"kept-{service}-1")
    return own_town


def test_published_ports_go_on_and_names_come_back(town: Town) -> None:
    outcomes: Counter[str] = Counter()
    is_over = threading.Event()

    def body() -> None:
        with in_netns(town.lab.outside):
            while not is_over.is_set():
                try:
                    outcomes[town.lab.ask(None, HOST_ADDRESS, 8081).split()[0]] += 1
                except OSError as failure:
                    outcomes[repr(failure)] += 1

    with town.entered("kept-customer-1") as netns:
        resolver = town.lab.client(netns, socket.SOCK_DGRAM)
    client = threading.Thread(target=body)
    client.start()
    with resolver:
        resolver.settimeout(0.05)
        resolver.connect(dns_client.SERVER)

        def answer() -> list[str]:
            try:
                resolver.send(dns_client.question("web"))
                return dns_client.read(resolver.recv(512)).values
            except OSError:
                return []

        try:
            address = [town.address("kept-web-1", "kept_default")]
            assert answer() == address
            kill_supervisor(town)
            # Asked on from the same socket, which connection tracking sends where it was sent before.
            assert wait_until("the name server answers", answer) == address
        finally:
            is_over.set()
            client.join()
    assert set(outcomes) == {town.name("kept-web-1")}


def test_ports_are_held_again_and_one_that_somebody_took_meanwhile_is_told(town: Town) -> None:
    before = {name: town.inspect(name)["NetworkSettings"]["Ports"] for name in ("kept-web-1", "kept-other-1")}
    numbers = {int(b["HostPort"]) for ports in before.values() for bindings in ports.values() for b in bindings}
    assert len(numbers) == 5
    assert {8080, 8081, 8082, 8083} < numbers
    keeper, supervisor = town.engine.pid("keeper"), town.engine.pid("supervisor")
    # While there is no supervisor a port can be taken.
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(supervisor, signal.SIGKILL)
        thief = wait_until("the port is free", lambda: _bound(8080))
    finally:
        os.kill(keeper, signal.SIGCONT)
    with thief:
        wait_until("there is another supervisor", lambda: town.engine.pid("supervisor") not in (0, supervisor))
        told = [notice for notice in town.engine.status()["notices"] if notice.startswith("container")]
        assert [notice.partition(" by pid ")[0] for notice in told] == ["container kept-web-1: 0.0.0.0:8080 is held"]
        assert town.lab.ask(town.lab.outside, HOST_ADDRESS, 8080).split()[0] == town.name("kept-web-1")
    assert {name: town.inspect(name)["NetworkSettings"]["Ports"] for name in before} == before
    assert [number for number in numbers if not _is_held(number)] == [8080]


def _bound(port: int) -> socket.socket | None:
    thief = socket.socket()
    try:
        thief.bind(("0.0.0.0", port))
    except OSError:
        thief.close()
        return None
    return thief


def _is_held(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as other:
            try:
                other.bind(("0.0.0.0", port))
            except OSError as failure:
                return failure.errno == errno.EADDRINUSE
    return False


def test_ports_that_were_changed_under_a_container_are_those_the_next_supervisor_holds(town: Town) -> None:
    pid = town.inspect("kept-web-1")["State"]["Pid"]
    town.up("kept", STACK.replace('"8080:80", ', "").replace('"8082:90/udp"', '"8082:90/udp", "8070:80"'))
    kill_supervisor(town)
    for port in (8081, 8070):
        wait_until(f"{port} is served", lambda port=port: town.ask(None, HOST_ADDRESS, port))
    with pytest.raises(ConnectionRefusedError):
        town.ask(None, HOST_ADDRESS, 8080)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", 8070))
    assert town.inspect("kept-web-1")["State"]["Pid"] == pid
