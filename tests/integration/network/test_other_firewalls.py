"""An engine on a host whose firewall belongs to others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel import nftables, rtnetlink
from stackctl.runtime.network.firewall import table_name
from stackctl.runtime.network.foreign_firewalls import remove_from_docker_user
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

STACK = """
services:
  web:
    image: host
    init: true
    command: python3 -S -E /service.py
    volumes: [./service.py:/service.py:ro]
    ports: ["8080:80"]
"""


@pytest.fixture
def shop(town: Town) -> Iterator[Town]:
    """A town where a service is published."""
    town.up("shop", STACK)
    town.wait_until_it_serves("shop-web-1")
    yield town
    town.down("shop")


@contextmanager
def docker() -> Iterator[None]:
    """The table of iptables-nft as Docker leaves it: what DOCKER-USER does not accept is not forwarded."""
    batch = nftables.Batch()
    batch.add_table("filter")
    batch.add_base_chain("filter", "FORWARD", kind="filter", hook=nftables.FORWARD, priority=0)
    batch.add_chain("filter", "DOCKER-USER")
    batch.add_rule("filter", "FORWARD", x.jump("DOCKER-USER"))
    batch.add_rule("filter", "FORWARD", x.counter(), x.verdict(x.DROP))
    with nftables.open_nftables() as netlink:
        batch.commit(netlink)
        yield
        batch = nftables.Batch()
        batch.delete_table("filter")
        batch.commit(netlink)


def our_rules() -> list[str]:
    with nftables.open_nftables() as netlink:
        return [rule.comment for rule in nftables.rules(netlink, "filter", "DOCKER-USER") if rule.comment]


def is_reached(town: Town) -> bool:
    try:
        return bool(town.lab.ask(town.lab.outside, HOST_ADDRESS, 8080, timeout=0.3))
    except OSError:
        return False


def test_docker_lets_our_traffic_through_whatever_it_does(shop: Town) -> None:
    with docker():
        wait_until("the port is reached", lambda: is_reached(shop))
        with nftables.open_nftables() as netlink:
            remove_from_docker_user(netlink, shop.engine.status()["id"])
        wait_until("the rules are there again", lambda: len(our_rules()) == 2)
        assert is_reached(shop)


def test_rules_that_somebody_flushed_are_brought_back(shop: Town) -> None:
    table = table_name(shop.engine.status()["id"])
    batch = nftables.Batch()
    batch.delete_table(table)
    with nftables.open_nftables() as netlink:
        batch.commit(netlink)
        wait_until("the table is there again", lambda: table in nftables.tables(netlink))
    assert is_reached(shop)


def test_a_firewall_in_the_way_is_told(town: Town) -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft, to set up a firewall as an administrator does: apt install nftables")
    chain = "{ type filter hook forward priority 0; policy drop; }"
    subprocess.run(["nft", "-f", "-"], input=f"table inet site {{\nchain ways {chain}\n}}\n".encode(), check=True)
    words = "the chain ways of the nftables table site drops by default, which stops container traffic"
    wait_until("it is told", lambda: words in town.engine.status()["notices"])
    told = town.up("shop", STACK)
    town.down("shop")
    assert words in " ".join(told.err.split())
    assert f"notice:     {words}\n" in town.engine.run("engine", "status").out
    subprocess.run(["nft", "delete table inet site"], check=True)
    wait_until("it is told no more", lambda: words not in town.engine.status()["notices"])


def test_forwarding_that_is_switched_on_is_told(town: Town) -> None:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    switch.write_text("0", encoding="ascii")
    told = town.up("shop", STACK)
    town.down("shop")
    assert switch.read_text(encoding="ascii") == "1\n"
    assert "switched on IP forwarding of this host" in " ".join(told.err.split())


def test_nothing_is_left_in_the_hosts_network_when_the_engine_stops(own_town: Town) -> None:
    with docker():
        own_town.up("shop", STACK)
        own_town.wait_until_it_serves("shop-web-1")
        assert is_reached(own_town)
        own_town.engine.stop()
        assert our_rules() == []
        with nftables.open_nftables() as netlink:
            assert nftables.tables(netlink) == ["filter"]
    host = own_town.lab.netlink
    assert {address.address for address in rtnetlink.addresses(host)} == {"127.0.0.1", HOST_ADDRESS}
    # The kernel removes the interfaces of a dead namespace in the background.
    wait_until("only the host's interfaces are there", lambda: len(rtnetlink.links(host)) == 2)
