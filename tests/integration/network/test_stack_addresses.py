"""What a stack file says of addresses, routes, names and ports is what the container has, or an error at its line."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Netlink
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS, OUTSIDE_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

HOUSE = """
x-client: &client
  image: busybox
  init: true
  command: sleep 1000
services:
  fixed:
    <<: *client
    hostname: lodge
    domainname: example.org
    extra_hosts: ["host.docker.internal:host-gateway", "printer:192.0.2.77"]
    dns: [192.0.2.2]
    dns_search: [example.org, example.net]
    dns_opt: ["timeout:1"]
    networks:
      garden: {ipv4_address: 10.77.0.9, mac_address: "02:42:00:00:00:99"}
  both:
    <<: *client
    networks:
      alley: {priority: 10}
      garden: {gw_priority: 5}
  alone:
    <<: *client
    network_mode: none
  plain:
    <<: *client
    network_mode: host
  guest:
    <<: *client
    network_mode: service:fixed
networks:
  garden:
    ipam: {config: [{subnet: 10.77.0.0/24, gateway: 10.77.0.254, ip_range: 10.77.0.128/26}]}
  alley: {}
"""


@pytest.fixture(scope="module", autouse=True)
def _house(town: Town) -> None:
    town.up("house", HOUSE)


def shown(town: Town, service: str, *command: str) -> str:
    return town.engine.run("-p", "house", "exec", "-T", service, *command).out


def routes(town: Town, container: str) -> set[tuple[str, str]]:
    with town.entered(container) as netns, Netlink.inside(netns) as inside:
        names = {link.ifindex: link.name for link in rtnetlink.links(inside)}
        return {(route.gateway, names[route.ifindex]) for route in rtnetlink.routes(inside) if not route.prefix}


def test_addresses_and_mac_are_as_written(town: Town) -> None:
    assert town.address("house-fixed-1", "house_garden") == "10.77.0.9"
    assert shown(town, "fixed", "cat", "/sys/class/net/eth0/address") == "02:42:00:00:00:99\n"
    assert town.address("house-both-1", "house_garden") == "10.77.0.128"


def test_the_network_with_the_highest_gw_priority_carries_the_default_route(town: Town) -> None:
    assert routes(town, "house-both-1") == {("10.77.0.254", "eth0")}
    assert town.ask("house-both-1", OUTSIDE_ADDRESS, 7000) == f"out {HOST_ADDRESS}"


def test_hosts_and_resolv_conf_are_as_written(town: Town) -> None:
    hosts = [line.split() for line in shown(town, "fixed", "cat", "/etc/hosts").splitlines()]
    assert ["10.77.0.9", "lodge.example.org", "lodge"] in hosts
    assert ["10.77.0.254", "host.docker.internal"] in hosts
    assert ["192.0.2.77", "printer"] in hosts
    assert shown(town, "fixed", "cat", "/etc/resolv.conf").splitlines() == [
        "nameserver 127.0.0.11",
        "search example.org example.net",
        "options timeout:1 ndots:0",
    ]
    assert shown(town, "fixed", "hostname") == "lodge\n"


def test_a_container_without_networks_has_its_loopback_only(town: Town) -> None:
    assert shown(town, "alone", "ls", "/sys/class/net").split() == ["lo"]
    (network,) = town.inspect("house-alone-1")["NetworkSettings"]["Networks"].items()
    assert (network[0], network[1]["IPAddress"]) == ("none", "")


def test_host_mode_is_the_network_of_the_host(town: Town) -> None:
    with town.entered("house-plain-1") as netns:
        assert os.fstat(netns).st_ino == os.stat("/proc/thread-self/ns/net").st_ino
    assert shown(town, "plain", "cat", "/etc/resolv.conf") == f"nameserver {OUTSIDE_ADDRESS}\n"


def test_a_service_shares_the_network_of_another(town: Town) -> None:
    with town.entered("house-guest-1") as guest, town.entered("house-fixed-1") as owner:
        assert os.fstat(guest).st_ino == os.fstat(owner).st_ino
    assert shown(town, "guest", "cat", "/etc/hosts") == shown(town, "fixed", "cat", "/etc/hosts")
    assert shown(town, "guest", "cat", "/etc/resolv.conf") == shown(town, "fixed", "cat", "/etc/resolv.conf")


def test_an_external_network_is_used_and_left_alone(town: Town) -> None:
    text = """
services:
  visitor: {image: busybox, init: true, command: sleep 1000, networks: {square: {aliases: [friend]}}}
networks:
  square: {external: true, name: house_garden}
"""
    town.up("visit", text)
    try:
        assert town.resolve("house-fixed-1", "friend").values == [town.address("visit-visitor-1", "house_garden")]
    finally:
        town.down("visit")
    assert town.resolve("house-fixed-1", "fixed").values == ["10.77.0.9"]


def failed(town: Town, text: str) -> str:
    """Bring up a stack that cannot be; return what was said, in one line."""
    result = town.up("wrong", text, status=1)
    town.down("wrong")
    return " ".join(str(result.err).split())


def test_an_address_that_is_taken_names_its_holder_and_the_line(town: Town) -> None:
    said = failed(
        town,
        """
services:
  late:
    image: busybox
    command: sleep 1000
    networks:
      garden: {ipv4_address: 10.77.0.9}
networks:
  garden: {external: true, name: house_garden}
""",
    )
    assert "address 10.77.0.9 is taken by container house-fixed-1" in said
    assert "wrong.yaml:8:30" in said


def test_a_subnet_that_overlaps_names_the_other_and_the_line(town: Town) -> None:
    said = failed(
        town,
        """
services:
  late: {image: busybox, command: sleep 1000}
networks:
  default:
    ipam: {config: [{subnet: 10.77.0.0/16}]}
""",
    )
    assert "subnet 10.77.0.0/16 of network wrong_default overlaps 10.77.0.0/24 of network house_garden" in said
    assert "wrong.yaml:6" in said


def test_a_network_that_is_full_says_so(town: Town) -> None:
    said = failed(
        town,
        """
services:
  late: {image: busybox, command: sleep 1000, init: true, deploy: {replicas: 2}}
networks:
  default:
    ipam: {config: [{subnet: 10.78.0.0/30}]}
""",
    )
    assert "error[addresses-exhausted]" in said
    assert "no address is left in 10.78.0.0/30: 1 are in use" in said


def test_a_port_that_is_taken_names_the_process_or_container_and_the_line(town: Town) -> None:
    text = """
services:
  late:
    image: busybox
    command: sleep 1000
    ports: ["7070:80"]
"""
    with socket.create_server(("127.0.0.1", 7070)):
        said = failed(town, text)
        command = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        assert f"0.0.0.0:7070 is held by pid {os.getpid()} ({command})" in said
        assert "wrong.yaml:7:13" in said
    town.up("early", text.replace("late", "web"))
    try:
        assert "0.0.0.0:7070 is held by container early-web-1" in failed(town, text)
    finally:
        town.down("early")


def test_traffic_goes_to_healthy_replicas_only_while_there_is_one(town: Town) -> None:
    town.up(
        "clinic",
        """
services:
  web:
    image: host
    init: true
    command: sh -c 'touch /well; exec python3 -S -E /service.py'
    volumes: [./service.py:/service.py:ro]
    ports: ["8070:80"]
    deploy: {replicas: 2}
    healthcheck: {test: [CMD, test, -e, /well], interval: 100ms, retries: 1}
""",
        "--wait",
    )
    try:
        for number in (1, 2):
            town.wait_until_it_serves(f"clinic-web-{number}")  # what it says of its health comes before that
        both = {town.name("clinic-web-1"), town.name("clinic-web-2")}
        wait_until("both serve", lambda: set(town.answers(None, HOST_ADDRESS, 8070)) == both)
        town.engine.run("-p", "clinic", "exec", "-T", "--index", "1", "web", "rm", "/well")
        wait_until("one is left", lambda: set(town.answers(None, HOST_ADDRESS, 8070)) == {town.name("clinic-web-2")})
        town.engine.run("-p", "clinic", "exec", "-T", "--index", "2", "web", "rm", "/well")
        wait_until("as none is, both serve", lambda: set(town.answers(None, HOST_ADDRESS, 8070)) == both)
    finally:
        town.down("clinic")
