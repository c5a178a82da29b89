from __future__ import annotations

from stackctl.runtime.network.zone import NetworkZone


def shop() -> NetworkZone:
    zone = NetworkZone()
    for container, name, address in (("1", "shop-web-1", "10.0.0.2"), ("2", "shop-web-2", "10.0.0.3")):
        zone.join(container, "shop_Front")
        zone.announce(container, "shop_Front", name=name, aliases=("Web",), address=address)
    zone.join("3", "shop_back")
    zone.announce("3", "shop_back", name="shop-db-1", aliases=("db",), address="10.1.0.2")
    return zone


def test_replicas_are_named_in_rotation() -> None:
    zone = shop()
    assert zone.lookup("1", "web") == ("10.0.0.2", "10.0.0.3")
    assert zone.lookup("1", "web") == ("10.0.0.3", "10.0.0.2")
    assert zone.lookup("1", "shop-web-2") == ("10.0.0.3",)
    assert zone.lookup("1", "shop-web-2.shop_front") == ("10.0.0.3",)


def test_names_of_other_networks_are_not_seen() -> None:
    zone = shop()
    assert zone.lookup("1", "db") is None
    assert zone.lookup("3", "web") is None
    assert zone.reverse("1", "10.1.0.2") is None
    zone.join("1", "shop_back")
    assert zone.lookup("1", "db") == ("10.1.0.2",)
    assert zone.reverse("1", "10.1.0.2") == "shop-db-1.shop_back"


def test_a_container_that_withdraws_still_sees_the_others() -> None:
    zone = shop()
    zone.withdraw("1")
    assert zone.lookup("2", "web") == ("10.0.0.3",)
    assert zone.lookup("1", "web") == ("10.0.0.3",)
    assert zone.lookup("1", "shop-web-1") is None
    assert zone.reverse("2", "10.0.0.2") is None
    zone.leave("2")
    assert zone.lookup("2", "web") is None
    assert zone.lookup("1", "web") is None


def test_a_network_that_was_removed_is_forgotten() -> None:
    zone = shop()
    zone.drop("shop_Front")
    assert zone.lookup("1", "web") is None
    assert zone.lookup("3", "db") == ("10.1.0.2",)


def test_an_address_used_again_belongs_to_its_new_owner() -> None:
    zone = shop()
    zone.withdraw("1")
    zone.join("4", "shop_Front")
    zone.announce("4", "shop_Front", name="new", aliases=(), address="10.0.0.2")
    zone.leave("1")
    assert zone.reverse("2", "10.0.0.2") == "new.shop_Front"


def test_a_name_leads_to_ready_replicas_or_to_all_when_none_is() -> None:
    ready = {"2"}
    zone = NetworkZone(ready.__contains__)
    for number in ("1", "2", "3"):
        zone.join(number, "front")
        zone.announce(number, "front", name=f"web-{number}", aliases=("web",), address=f"10.0.0.{number}")
    assert zone.lookup("1", "web") == ("10.0.0.2",)
    assert zone.lookup("1", "web-3") == ("10.0.0.3",)
    ready.clear()
    assert set(zone.lookup("1", "web") or ()) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


def test_namesakes_share_a_name_on_a_network() -> None:
    zone = shop()
    assert zone.namesakes("1") == {"2"}
    assert zone.namesakes("3") == set()
    zone.withdraw("2")
    assert zone.namesakes("1") == set()


def test_networks_whose_names_differ_in_case_are_two() -> None:
    zone = NetworkZone()
    for network, address in (("A", "10.0.0.2"), ("a", "10.1.0.2")):
        zone.announce(network, network, name="web", aliases=(), address=address)
    zone.join("x", "a")
    assert zone.lookup("x", "web") == ("10.1.0.2",)


def test_who_asks_for_a_name_that_is_about_to_come_back_waits_until_somebody_ready_has_it() -> None:
    ready = {"2"}
    zone = NetworkZone(lambda container: container in ready)
    for container in ("1", "2"):
        zone.join(container, "shop_front")
    zone.announce("1", "shop_front", name="shop-web-1", aliases=("web",), address="10.0.0.2")
    zone.held = zone.places("1")
    zone.withdraw("1")
    assert zone.is_waiting("2", "web") and zone.is_waiting("2", "web.shop_front")
    assert not zone.is_waiting("2", "db") and not zone.is_waiting("stranger", "web")
    zone.announce("1", "shop_front", name="shop-web-1", aliases=("web",), address="10.0.0.2")
    assert zone.is_waiting("2", "web")
    ready.add("1")
    assert not zone.is_waiting("2", "web")
