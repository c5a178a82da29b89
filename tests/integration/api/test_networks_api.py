"""`docker network` and docker-py's networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine
from tests.support.stack import FOREVER, Stack, stack_in


@pytest.fixture
def net(docker: Docker, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a network that is there for this test."""
    name = request.node.name.removeprefix("test_").partition("[")[0][:40]
    docker.run("network", "create", "--label", "of=tests", name)
    yield name
    docker.run("network", "rm", name, status=None)


@pytest.fixture
def stack(shared_engine: Engine, tmp_path: Path, net: str) -> Iterator[Stack]:
    """A stack ``nets`` of one container ``nets-it-1``, up."""
    assert net  # made before, so removed after
    with stack_in(shared_engine, tmp_path / "stack", "nets") as own:
        own.write({"it": FOREVER})
        own.run("up", "-d")
        yield own


def _names(docker: Docker, *options: str) -> list[str]:
    return docker.run("network", "ls", "--format", "{{.Name}}", *options).out.split()


def test_a_network_is_made_as_asked_listed_shown_and_removed(docker: Docker) -> None:
    made = docker.run(
        *("network", "create", "--subnet", "10.199.7.0/24", "--gateway", "10.199.7.9", "--ip-range", "10.199.7.128/25"),
        *("--internal", "--label", "a=b", "made"),
    ).out.strip()
    (shown,) = docker.run("network", "inspect", "made").json()

    assert shown["Id"] == made
    assert shown["IPAM"]["Config"] == [
        {"Subnet": "10.199.7.0/24", "IPRange": "10.199.7.128/25", "Gateway": "10.199.7.9"}
    ]
    assert (shown["Internal"], shown["Labels"], shown["Driver"]) == (True, {"a": "b"}, "bridge")
    assert docker.run("network", "inspect", "-f", "{{.Name}}", made[:12]).out == "made\n"
    assert "made" in _names(docker)
    assert docker.run("network", "rm", "made").out == "made\n"
    assert "made" not in _names(docker)


def test_filters_choose(docker: Docker, net: str) -> None:
    assert _names(docker, "--filter", f"name={net[:10]}") == [net]
    assert _names(docker, "--filter", "label=of=tests") == [net]
    assert _names(docker, "--filter", "label=of=nobody") == []
    assert _names(docker, "--filter", "type=builtin") == ["bridge", "host", "none"]
    assert net in _names(docker, "--filter", "type=custom", "--filter", "dangling=true")
    assert _names(docker, "--filter", "driver=host") == ["host"]
    assert "invalid filter" in docker.run("network", "ls", "--filter", "colour=red", status=1).err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "bridge"), "operation is not permitted on predefined bridge network"),
        (("create", "--driver", "overlay", "x"), "only bridge is built in"),
        (("create", "--ipv6", "x"), "not supported by this engine for networks: IPv6"),
        (("create", "--subnet", "10.199.300.0/24", "x"), "invalid network config"),
        (("rm", "host"), "host is a pre-defined network and cannot be removed"),
        (("rm", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(docker: Docker, words: tuple[str, ...], message: str) -> None:
    assert message in docker.run("network", *words, status=1).err


def test_a_name_and_a_subnet_are_taken_once(docker: Docker, client: docker_py.DockerClient, net: str) -> None:
    assert f"network with name {net} already exists" in docker.run("network", "create", net, status=1).err
    subnet = client.networks.get(net).attrs["IPAM"]["Config"][0]["Subnet"]
    pool = docker_py.types.IPAMConfig(pool_configs=[docker_py.types.IPAMPool(subnet=subnet)])

    with pytest.raises(docker_py.errors.APIError, match="Pool overlaps") as refused:
        client.networks.create("other", ipam=pool)
    assert refused.value.status_code == 403


def test_a_running_container_is_connected_and_found_by_its_alias(stack: Stack, docker: Docker, net: str) -> None:
    stack.write({"it": FOREVER, "peer": FOREVER})
    stack.run("up", "-d")

    for name in ("nets-it-1", "nets-peer-1"):
        docker.run("network", "connect", "--alias", f"also-{name}", net, name)
    stack.run("exec", "-T", "it", "ping", "-c", "1", "-W", "5", "also-nets-peer-1")
    (shown,) = docker.run("network", "inspect", net).json()
    held = sorted(entry["Name"] for entry in shown["Containers"].values())
    assert held == ["nets-it-1", "nets-peer-1"]
    assert stack.run("exec", "-T", "it", "cat", "/sys/class/net/eth1/operstate").out == "up\n"

    docker.run("network", "disconnect", net, "nets-it-1")
    stack.run("exec", "-T", "it", "test", "!", "-e", "/sys/class/net/eth1")
    assert stack.run("exec", "-T", "it", "nslookup", "also-nets-peer-1", status=None).status != 0
    stack.run("exec", "-T", "it", "ping", "-c", "1", "-W", "5", "peer")


def test_a_connection_lasts_over_a_restart(stack: Stack, docker: Docker, net: str) -> None:
    docker.run("network", "connect", "--ip", _address_in(docker, net), net, "nets-it-1")
    docker.run("restart", "-t", "0", "nets-it-1")

    (shown,) = docker.run("network", "inspect", net).json()
    (endpoint,) = shown["Containers"].values()
    assert endpoint["IPv4Address"].startswith(_address_in(docker, net))
    assert _address_in(docker, net) in stack.run("exec", "-T", "it", "ip", "addr").out


def test_the_way_out_moves_to_a_network_that_stays(stack: Stack, docker: Docker, net: str) -> None:
    docker.run("network", "connect", net, "nets-it-1")
    docker.run("network", "disconnect", "nets_default", "nets-it-1")
    (shown,) = docker.run("network", "inspect", net).json()

    gateway = shown["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway}" in stack.run("exec", "-T", "it", "ip", "route").out


def test_what_connects_nothing_is_refused(
    stack: Stack, docker: Docker, client: docker_py.DockerClient, net: str
) -> None:
    docker.run("network", "connect", net, "nets-it-1")
    assert "already exists in network" in docker.run("network", "connect", net, "nets-it-1", status=1).err
    assert "has active endpoints" in docker.run("network", "rm", net, status=1).err
    assert "is private" in docker.run("network", "connect", "host", "nets-it-1", status=1).err
    docker.run("network", "disconnect", net, "nets-it-1")
    assert "is not connected to network" in docker.run("network", "disconnect", net, "nets-it-1", status=1).err
    docker.run("network", "disconnect", "--force", net, "nets-it-1")
    with pytest.raises(docker_py.errors.NotFound):
        client.networks.get(net).connect("nowhere")
    assert stack


def test_a_failed_connection_leaves_nothing(stack: Stack, docker: Docker, net: str) -> None:
    refused = docker.run("network", "connect", "--ip", "203.0.113.9", net, "nets-it-1", status=1).err

    assert "is not in the subnet" in refused
    assert docker.run("network", "inspect", "-f", "{{len .Containers}}", net).out == "0\n"
    assert "nothing to do" in stack.run("plan").out.lower()


def test_a_stack_neither_uses_nor_removes_what_is_not_its_own(stack: Stack, docker: Docker, net: str) -> None:
    stack.run("up", "-d", "--remove-orphans")
    stack.run("down", "-v", "--remove-orphans")

    assert net in _names(docker)


def test_prune_takes_what_nobody_is_on(stack: Stack, docker: Docker, net: str) -> None:
    docker.run("network", "create", "used")
    docker.run("network", "connect", "used", "nets-it-1")
    pruned = docker.run("network", "prune", "-f").out

    assert net in pruned
    assert "used" not in pruned
    assert {"used", "nets_default", "bridge", "host", "none"} <= set(_names(docker))
    docker.run("network", "disconnect", "used", "nets-it-1")
    docker.run("network", "rm", "used")
    assert stack


def test_docker_py_makes_and_finds_networks(client: docker_py.DockerClient) -> None:
    made = client.networks.create("dp", labels={"k": "v"}, check_duplicate=True)
    try:
        assert [network.id for network in client.networks.list(names=["dp"])] == [made.id]
        assert client.networks.get(made.id[:12]).name == "dp"
        assert client.networks.list(filters={"label": ["k=v"]})[0].attrs["Labels"] == {"k": "v"}
        assert made.containers == []
    finally:
        made.remove()
    assert client.networks.prune(filters={"label": ["k=v"]})["NetworksDeleted"] is None


def _address_in(docker: Docker, network: str) -> str:
    subnet = docker.run("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", network).out.strip()
    base = subnet.partition("/")[0].rpartition(".")[0]
    return f"{base}.77"
