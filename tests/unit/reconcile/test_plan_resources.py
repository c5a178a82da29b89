"""Networks and volumes, and what only one container at a time can have: names, host ports, addresses, subnets."""

from __future__ import annotations

import pytest

from stackctl.errors import PlanError
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import Shop, up_text

WEB = """
services:
  web:
    image: web:1
"""
NETWORK = WEB + "    networks: [front]\nnetworks:\n  front:\n"
VOLUME = WEB + "    volumes: [data:/data]\nvolumes:\n  data:\n"
PAIR = """
services:
  a:
    image: a:1
    ports: ['{0}:80']
    networks: {{net: {{ipv4_address: 10.5.0.{1}}}}}
  b:
    image: b:1
    depends_on: [a]
    ports: ['{2}:80']
    networks: {{net: {{ipv4_address: 10.5.0.{3}}}}}
networks:
  net: {{ipam: {{config: [{{subnet: 10.5.0.0/24}}]}}}}
"""


def test_another_network_replaces_the_container_and_leaves_the_old_network() -> None:
    assert (
        up_text(WEB, NETWORK)
        == """\
1 create network shop_front                    is missing
2 create 000000000002_shop-web-1               networks: shop_default -> shop_front  (shop.yaml:6) after 1
3 stop shop-web-1                              replaced by 2                                       after 2
4 remove shop-web-1                            replaced by 2                                       after 3
5 rename 000000000002_shop-web-1 to shop-web-1 replacement                                         after 4
6 start shop-web-1                             replacement                                         after 5
"""
    )


def test_a_changed_network_is_made_anew_with_all_who_are_on_it() -> None:
    assert (
        up_text(NETWORK, NETWORK + "    internal: true\n")
        == """\
1 stop shop-web-1           network shop_front is replaced
2 remove shop-web-1         network shop_front is replaced         after 1
3 remove network shop_front internal: false -> true  (shop.yaml:8) after 2
4 create network shop_front internal: false -> true  (shop.yaml:8) after 3
5 create shop-web-1         network shop_front is replaced         after 2 4
6 start shop-web-1          network shop_front is replaced         after 5
"""
    )


def test_a_changed_network_is_kept_when_nothing_may_be_made_anew() -> None:
    shop = Shop()
    shop.up(NETWORK)
    plan = shop.plan(NETWORK + "    internal: true\n", recreate="never")
    assert (plan_text(plan), [warning.code for warning in plan.warnings]) == ("", ["network-differs"])


def test_a_changed_network_with_others_on_it_is_refused() -> None:
    shop = Shop()
    shop.up(NETWORK + "  # none\n")
    shop.up(NETWORK.replace("  web:", "  web2:"))
    with pytest.raises(PlanError) as caught:
        shop.plan(NETWORK + "    internal: true\n")
    assert (caught.value.code, "shop-web2-1" in str(caught.value)) == ("network-in-use", True)


def test_a_volume_nobody_wants_any_more_stays() -> None:
    text = up_text(VOLUME, WEB)
    assert "remove shop-web-1" in text and "remove volume" not in text


def test_a_volume_with_other_options_is_kept_with_a_warning() -> None:
    shop = Shop()
    shop.up(VOLUME)
    plan = shop.plan(VOLUME + "    driver_opts: {type: none, o: bind, device: /srv}\n")
    assert (plan_text(plan), [warning.code for warning in plan.warnings]) == ("", ["volume-differs"])


def test_replacing_a_container_keeps_its_volume() -> None:
    shop = Shop()
    shop.up(VOLUME)
    before = shop.engine.volume_serials()
    shop.up(VOLUME.replace("web:1", "web:2"))
    shop.do("down")
    assert shop.engine.volume_serials() == before


def converges(before: str, after: str, **policy: object) -> str:
    """Apply one after the other; return the text of the second plan."""
    shop = Shop()
    shop.up(before)
    plan = shop.up(after, **policy)
    assert plan_text(shop.plan(after)) == ""
    return plan_text(plan)


def test_two_services_exchange_their_host_ports() -> None:
    assert (
        converges(PAIR.format(8080, 5, 8081, 6), PAIR.format(8081, 5, 8080, 6))
        == """\
1 stop shop-b-1   ports: 8081:80 -> 8080:80  (shop.yaml:11)
2 remove shop-b-1 ports: 8081:80 -> 8080:80  (shop.yaml:11) after 1
3 stop shop-a-1   ports: 8080:80 -> 8081:80  (shop.yaml:6)
4 remove shop-a-1 ports: 8080:80 -> 8081:80  (shop.yaml:6)  after 3
5 create shop-a-1 ports: 8080:80 -> 8081:80  (shop.yaml:6)  after 4
6 start shop-a-1  ports: 8080:80 -> 8081:80  (shop.yaml:6)  after 1 5
7 create shop-b-1 ports: 8081:80 -> 8080:80  (shop.yaml:11) after 2
8 start shop-b-1  ports: 8081:80 -> 8080:80  (shop.yaml:11) after 3 6 7
"""
    )


def test_two_services_exchange_their_addresses() -> None:
    text = converges(PAIR.format(8080, 5, 8081, 6), PAIR.format(8080, 6, 8081, 5))
    assert "networks: shop_net 10.5.0.5 -> shop_net 10.5.0.6  (shop.yaml:7)" in text


def test_only_who_gives_a_port_away_goes_before_its_successor_is_made() -> None:
    text = converges(PAIR.format(8080, 5, 8081, 6), PAIR.format(8082, 5, 8080, 6))
    assert text.splitlines()[0].startswith("1 stop shop-a-1 ")
    assert "_shop-b-1 to shop-b-1" in text


def test_replicas_on_one_host_port_are_replaced_one_beside_the_other() -> None:
    before = WEB + "    ports: ['8080:80']\n    deploy: {replicas: 2}\n"
    text = converges(before, before.replace("web:1", "web:2"))
    each = ["create", "start", "await", "switch", "stop", "remove", "rename"]
    assert [line.split()[1] for line in text.splitlines()] == 2 * each


def test_replicas_move_to_another_address_of_the_host_together() -> None:
    before = WEB + "    ports: ['8080:80']\n    deploy: {replicas: 2}\n"
    text = converges(before, before.replace("8080:80", "127.0.0.1:8080:80"))
    kinds = [line.split()[1] for line in text.splitlines()]
    assert max(at for at, kind in enumerate(kinds) if kind == "stop") < kinds.index("start")


def test_a_port_of_an_orphan_is_free_once_that_is_removed() -> None:
    before = WEB + "    ports: ['80:80']\n"
    assert (
        converges(before, before.replace("  web:", "  api:"), remove_orphans=True)
        == """\
1 stop shop-web-1   its service is no longer in the stack
2 remove shop-web-1 its service is no longer in the stack after 1
3 create shop-api-1 is missing
4 start shop-api-1  is missing                            after 1 3
"""
    )


def test_two_services_exchange_their_names() -> None:
    text = (
        WEB.replace("web:1", "web:1\n    container_name: {0}") + "  api:\n    image: api:1\n    container_name: {1}\n"
    )
    assert "rename" not in converges(text.format("one", "two"), text.format("two", "one"))


def test_a_new_name_renames_the_running_container() -> None:
    assert converges(WEB, WEB + "    container_name: front\n") == (
        "1 rename shop-web-1 to front container_name changed\n"
    )


def test_two_networks_exchange_their_subnets() -> None:
    text = WEB + "    networks: [x, y]\nnetworks:\n" + "  x: {ipam: X}\n  y: {ipam: Y}\n"
    one, two = "{config: [{subnet: 10.5.0.0/24}]}", "{config: [{subnet: 10.6.0.0/24}]}"
    plan = converges(text.replace("X", one).replace("Y", two), text.replace("X", two).replace("Y", one))
    assert [line.split("after ")[1] for line in plan.splitlines() if " create network " in line] == ["3 4", "3 4"]


def test_a_network_that_the_stack_no_longer_has_makes_room_for_one_with_its_subnet() -> None:
    text = WEB + "    networks: [X]\nnetworks:\n  X: {ipam: {config: [{subnet: 10.5.0.0/24}]}}\n"
    plan = converges(text.replace("X", "old"), text.replace("X", "new"))
    assert (
        plan
        == """\
1 stop shop-web-1         network shop_old goes
2 remove shop-web-1       network shop_old goes                         after 1
3 remove network shop_old its subnet is wanted by shop_new              after 2
4 create network shop_new is missing                                    after 3
5 create shop-web-1       networks: shop_old -> shop_new  (shop.yaml:6) after 2 4
6 start shop-web-1        networks: shop_old -> shop_new  (shop.yaml:6) after 5
"""
    )


def test_a_network_that_the_stack_no_longer_has_stays_while_nobody_wants_its_subnet() -> None:
    text = WEB + "    networks: [X]\nnetworks:\n  X: {ipam: {config: [{subnet: Y}]}}\n"
    before, after = text.replace("X", "old"), text.replace("X", "new")
    assert "remove network" not in converges(before.replace("Y", "10.5.0.0/24"), after.replace("Y", "10.5.1.0/24"))
