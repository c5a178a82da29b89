"""Options of networks, by Docker's names, and what an attachment may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed
from tests.support.engine import Engine

_BRIDGE = f"scopt{os.getpid() % 10**9}"
_STACK = f"""
    name: options
    services:
      one: &it
        image: busybox
        command: sh -c 'while :; do echo one | nc -l -p 80; done'
        init: true
        stop_grace_period: 0s
        ports: ["80"]
        networks: {{apart: {{interface_name: lan7, link_local_ips: [169.254.7.7]}}}}
      two: {{<<: *it, networks: [apart, plain]}}
      three: {{<<: *it, networks: [plain], ports: []}}
    networks:
      apart:
        driver_opts:
          com.docker.network.bridge.name: {_BRIDGE}
          com.docker.network.driver.mtu: 1400
          com.docker.network.bridge.enable_icc: "false"
          com.docker.network.bridge.host_binding_ipv4: 127.0.0.1
      plain:
        ipam:
          config:
            - {{subnet: 10.201.7.0/28, ip_range: 10.201.7.0/29, aux_addresses: {{a: 10.201.7.2, b: 10.201.7.3}}}}
"""


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running
    assert not Path(f"/sys/class/net/{_BRIDGE}").exists()


def test_bridge_and_interfaces_are_called_and_sized_as_asked(stack: Composed) -> None:
    assert Path(f"/sys/class/net/{_BRIDGE}/bridge").is_dir()
    assert stack.sh("one", "ls /sys/class/net; cat /sys/class/net/lan7/mtu").split() == ["lan7", "lo", "1400"]
    assert "169.254.7.7/16" in stack.sh("one", "ip addr show lan7")
    assert stack.sh("two", "cat /sys/class/net/eth0/mtu /sys/class/net/eth1/mtu").split() == ["1400", "1500"]


def test_neighbours_do_not_reach_each_other_without_icc(stack: Composed) -> None:
    gateway = stack.sh("one", "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'").strip()
    address = stack.sh("two", "ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'").strip()

    assert "1 packets received" in stack.sh("one", f"ping -c 1 -W 2 {gateway}")
    assert "0 packets received" in stack.exec("one", "ping", "-c", "1", "-W", "1", address, status=None).out
    assert "1 packets received" in stack.sh("three", "ping -c 1 -W 2 two")


def test_ports_are_reached_by_the_address_the_network_says(stack: Composed) -> None:
    ports = stack.inspect("options-one-1")["NetworkSettings"]["Ports"]["80/tcp"]

    assert [port["HostIp"] for port in ports] == ["127.0.0.1"]


def test_auxiliary_addresses_are_given_to_nobody(stack: Composed) -> None:
    find = "ip -4 addr | sed -n 's/.*inet \\(10.201.7.[0-9]*\\).*/\\1/p'"

    assert {stack.sh(name, find).strip() for name in ("two", "three")} <= {f"10.201.7.{n}" for n in (4, 5, 6, 7)}


def test_a_name_that_is_taken_is_refused(shared_engine: Engine, tmp_path: Path) -> None:
    text = _STACK.replace("name: options", "name: taken", 1).replace(_BRIDGE, "lo")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        assert "there is an interface lo that is not ours" in stack.run("up", "-d", "one", status=1).err
