"""A stack's networks through the command line: names, published ports, walls, the way out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.kernel.rtnetlink import add_route
from tests.support.dns_client import AAAA, NAME_ERROR, NO_ERROR, PTR, A
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS, OUTSIDE_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

FOREIGN = ["203.0.113.9"]
SHOP = """
x-service: &service
  image: host
  init: true
  command: python3 -S -E /service.py
  volumes: [./service.py:/service.py:ro]
x-client: &client
  image: busybox
  init: true
  command: sleep 1000
services:
  web:
    <<: *service
    ports: ["8080:80", "8080:90/udp", "127.0.0.1:8081:80", "192.0.2.1:8082:80"]
    networks: {front: {aliases: [www]}, back: {}}
    deploy: {replicas: 2}
  each:
    <<: *service
    ports: ["8100-8101:80"]
    networks: [front]
    deploy: {replicas: 2}
  store:
    <<: *service
    networks: [back]
  vault:
    <<: *service
    networks: [cellar]
    ports: ["8085:80"]
  gate:
    <<: *client
    networks: [cellar, front]
  guard:
    <<: *client
    networks: [cellar]
  customer:
    <<: *client
    networks: [front]
networks:
  front: {}
  back: {}
  cellar: {internal: true}
"""


@pytest.fixture(scope="module", autouse=True)
def _shop(town: Town) -> None:
    town.up("shop", SHOP)
    for container in ("web-1", "web-2", "each-1", "each-2", "store-1", "vault-1"):
        town.wait_until_it_serves(f"shop-{container}")
    wait_until("both replicas get traffic", lambda: len(town.answers(None, HOST_ADDRESS, 8080)) == 2)


@pytest.fixture(scope="module")
def webs(town: Town, _shop: None) -> tuple[str, str]:
    return town.name("shop-web-1"), town.name("shop-web-2")


def test_a_published_port_takes_replicas_in_turn_wherever_it_is_asked(town: Town, webs: tuple[str, str]) -> None:
    both = Counter(dict.fromkeys(webs, 2))
    for address in (
        "127.0.0.1",
        HOST_ADDRESS,
        town.inspect("shop-web-1")["NetworkSettings"]["Networks"]["shop_back"]["Gateway"],
    ):
        assert town.answers(None, address, 8080) == both, address
    assert town.answers(town.lab.outside, HOST_ADDRESS, 8080) == both
    for client in ("shop-customer-1", "shop-store-1", "shop-web-1"):
        with town.entered(client) as netns:
            assert town.answers(netns, HOST_ADDRESS, 8080) == both, client


def test_a_published_udp_port_is_reachable_wherever_it_is_asked(town: Town, webs: tuple[str, str]) -> None:
    for client in (None, town.lab.outside):
        assert town.lab.ask_udp(client, HOST_ADDRESS, 8080).split()[0] in webs
    assert town.lab.ask_udp(None, "127.0.0.1", 8080).split()[0] in webs
    with town.entered("shop-customer-1") as netns:
        assert town.lab.ask_udp(netns, HOST_ADDRESS, 8080).split()[0] in webs


def test_a_replica_sees_the_address_of_a_client_from_outside(town: Town) -> None:
    assert town.lab.ask(town.lab.outside, HOST_ADDRESS, 8080).split()[1] == OUTSIDE_ADDRESS


def test_a_port_published_on_one_address_is_on_no_other(town: Town, webs: tuple[str, str]) -> None:
    assert set(town.answers(None, "127.0.0.1", 8081)) == set(webs)
    assert set(town.answers(town.lab.outside, HOST_ADDRESS, 8082)) == set(webs)
    for client, address, port in (
        (None, HOST_ADDRESS, 8081),
        (town.lab.outside, HOST_ADDRESS, 8081),
        (None, "127.0.0.1", 8082),
    ):
        with pytest.raises(ConnectionRefusedError):
            town.lab.ask(client, address, port)


def test_each_replica_gets_a_port_of_a_range(town: Town) -> None:
    found = {next(iter(town.answers(None, HOST_ADDRESS, port))) for port in (8100, 8101)}
    assert found == {town.name("shop-each-1"), town.name("shop-each-2")}


def test_names_are_services_aliases_and_containers_of_shared_networks_only(town: Town) -> None:
    webs = [town.address(f"shop-web-{number}", "shop_front") for number in (1, 2)]
    for name in ("web", "www", "WEB.", "web.shop_front"):
        assert sorted(town.resolve("shop-customer-1", name).values) == sorted(webs), name
    assert town.resolve("shop-customer-1", "shop-web-2").values == webs[1:]
    assert town.resolve("shop-store-1", "www").values == FOREIGN  # an alias belongs to its network
    for name in ("store", "vault", "shop-store-1"):
        assert town.resolve("shop-customer-1", name).values == FOREIGN, name
    assert town.resolve("shop-gate-1", "vault").values == [town.address("shop-vault-1", "shop_cellar")]
    assert town.resolve("shop-gate-1", "www").values


def test_replicas_are_named_in_rotation(town: Town) -> None:
    first = Counter(town.resolve("shop-customer-1", "web").values[0] for _ in range(4))
    assert sorted(first.values()) == [2, 2]


def test_a_service_has_no_ipv6_address_but_its_name_exists(town: Town) -> None:
    assert town.resolve("shop-customer-1", "web", AAAA) == (NO_ERROR, False, [])


def test_addresses_have_names(town: Town) -> None:
    backwards = ".".join(reversed(town.address("shop-web-1", "shop_front").split(".")))
    question = f"{backwards}.in-addr.arpa"
    assert town.resolve("shop-customer-1", question, PTR).values == ["shop-web-1.shop_front"]


def test_other_names_are_asked_of_the_hosts_name_server(town: Town) -> None:
    assert town.resolve("shop-customer-1", "example.org") == (NO_ERROR, False, FOREIGN)
    assert town.resolve("shop-customer-1", "long.example.org") == (NO_ERROR, True, [])
    assert town.resolve_tcp("shop-customer-1", "long.example.org") == (NO_ERROR, False, FOREIGN)


def test_a_container_on_internal_networks_asks_nobody_outside(town: Town) -> None:
    before = len(town.names.asked)
    assert town.resolve("shop-guard-1", "example.org", A) == (NAME_ERROR, False, [])
    assert len(town.names.asked) == before


def test_containers_reach_others_on_their_networks_and_nobody_else(town: Town) -> None:
    store = town.address("shop-store-1", "shop_back")
    vault = town.address("shop-vault-1", "shop_cellar")
    web_behind = town.address("shop-web-1", "shop_back")
    assert town.ask("shop-web-1", store, 80).startswith(town.name("shop-store-1"))
    assert town.ask("shop-gate-1", vault, 80).startswith(town.name("shop-vault-1"))
    for client, address in (
        ("shop-customer-1", store),
        ("shop-customer-1", web_behind),  # published, but not there
        ("shop-customer-1", vault),
        ("shop-guard-1", store),
    ):
        with pytest.raises(OSError, match=r"timed out|unreachable"):
            town.ask(client, address, 80, timeout=0.3)


def test_an_internal_network_has_no_way_out_and_none_in(town: Town) -> None:
    for address, port in ((OUTSIDE_ADDRESS, 7000), (HOST_ADDRESS, 8080)):
        with pytest.raises(OSError, match="unreachable"):
            town.ask("shop-guard-1", address, port, timeout=0.3)
    with pytest.raises(ConnectionRefusedError):
        town.ask(None, HOST_ADDRESS, 8085)


def test_containers_reach_the_outside_with_the_hosts_address(town: Town) -> None:
    for client in ("shop-customer-1", "shop-gate-1", "shop-store-1"):
        assert town.ask(client, OUTSIDE_ADDRESS, 7000) == f"out {HOST_ADDRESS}"


def test_a_neighbour_of_the_host_does_not_reach_containers(town: Town) -> None:
    address = town.address("shop-web-1", "shop_front")
    with Netlink.inside(town.lab.outside) as far:
        far.transact([add_route(address, 32, gateway=HOST_ADDRESS)])
    with pytest.raises(TimeoutError):
        town.lab.ask(town.lab.outside, address, 80, timeout=0.3)
