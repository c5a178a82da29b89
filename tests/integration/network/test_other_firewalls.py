"""An engine on a host whose firewall belongs to others."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel import nft_expressions as x
from stackctl.runtime.kernel import nftables
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


def as_docker_does() -> None:
    """Make the table of iptables-nft as Docker leaves it: what DOCKER-USER does not accept is not forwarded."""
    batch = nftables.Batch()
    batch.add_table("filter")
    batch.add_base_chain("filter", "FORWARD", kind="filter", hook=nftables.FORWARD, priority=0)
    batch.add_chain("filter", "DOCKER-USER")
    batch.add_rule("filter", "FORWARD", x.jump("DOCKER-USER"))
    batch.add_rule("filter", "FORWARD", x.counter(), x.verdict(x.DROP))
    with nftables.open_nftables() as netlink:
        batch.commit(netlink)


def our_rules() -> list[str]:
    with nftables.open_nftables() as netlink:
        return [rule.comment for rule in nftables.rules(netlink, "filter", "DOCKER-USER") if rule.comment]


def is_reached(town: Town) -> bool:
    try:
        return bool(town.lab.ask(town.lab.outside, HOST_ADDRESS, 8080, timeout=0.3))
    except OSError:
        return False


def test_docker_lets_our_traffic_through_whatever_it_does_and_is_left_as_it_was(own_town: Town) -> None:
    as_docker_does()
    own_town.up("shop", STACK)
    own_town.wait_until_it_serves("shop-web-1")
    assert is_reached(own_town)
    with nftables.open_nftables() as netlink:
        remove_from_docker_user(netlink, own_town.engine.status()["id"])
    wait_until("the rules are there again", lambda: len(our_rules()) == 2)
    assert is_reached(own_town)
    own_town.engine.stop()
    assert our_rules() == []


def test_docker_that_comes_later_lets_our_traffic_through(own_town: Town) -> None:
    own_town.up("shop", STACK)
    own_town.wait_until_it_serves("shop-web-1")
    as_docker_does()
    wait_until("the port is reached", lambda: is_reached(own_town))


def test_rules_that_somebody_flushed_are_brought_back(own_town: Town) -> None:
    own_town.up("shop", STACK)
    own_town.wait_until_it_serves("shop-web-1")
    table = table_name(own_town.engine.status()["id"])
    batch = nftables.Batch()
    batch.delete_table(table)
    with nftables.open_nftables() as netlink:
        batch.commit(netlink)
        wait_until("the table is there again", lambda: table in nftables.tables(netlink))
    assert is_reached(own_town)


def test_a_firewall_in_the_way_is_told(own_town: Town) -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft, to set up a firewall as an administrator does: apt install nftables")
    chain = "{ type filter hook forward priority 0; policy drop; }"
    subprocess.run(["nft", "-f", "-"], input=f"table inet site {{\nchain ways {chain}\n}}\n".encode(), check=True)
    told = own_town.up("shop", STACK)
    words = "the chain ways of the nftables table site drops by default, which stops container traffic"
    assert words in " ".join(told.err.split())
    assert f"notice:     {words}\n" in own_town.engine.run("engine", "status").out
    subprocess.run(["nft", "delete table inet site"], check=True)
    wait_until("it is told no more", lambda: words not in own_town.engine.status()["notices"])
