from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.model.network import NetworkSpec
from stackctl.runtime.network.addresses import (
    Subnet,
    mac_of,
    parse_address,
    parse_mac,
    parse_subnet,
    subnet_of,
)
from stackctl.runtime.network.ipam import (
    AddressError,
    Addressing,
    AddressPool,
    AddressTaken,
    Taken,
    plan_addressing,
)

subnets = st.builds(
    lambda number, prefix: Taken(subnet_of(number, prefix), "somebody"),
    st.integers(0, 2**32 - 1),
    st.integers(6, 32),
)


def taken(*texts: str) -> list[Taken]:
    return [Taken(parse_subnet(text), f"network {text}") for text in texts]


def pool(subnet: str = "10.0.0.0/29", ip_range: str = "", gateway: str = "10.0.0.1", **owners: str) -> AddressPool:
    addressing = Addressing(parse_subnet(subnet), parse_subnet(ip_range or subnet), gateway)
    return AddressPool(addressing, {address: owner for owner, address in owners.items()})


def refusal(spec: NetworkSpec, *others: Taken) -> str:
    with pytest.raises(AddressError) as caught:
        plan_addressing(spec, others)
    return caught.value.message


def test_the_first_networks_get_the_first_subnets() -> None:
    first = plan_addressing(NetworkSpec(name="a"), [])
    assert (str(first.subnet), first.gateway) == ("10.208.0.0/20", "10.208.0.1")
    second = plan_addressing(NetworkSpec(name="b"), [Taken(first.subnet, "a")])
    assert str(second.subnet) == "10.208.16.0/20"


@given(st.lists(subnets, max_size=40))
def test_a_chosen_subnet_overlaps_nothing(others: list[Taken]) -> None:
    try:
        chosen = plan_addressing(NetworkSpec(name="a"), others)
    except AddressError as error:
        assert error.code == "subnets-exhausted"
        return
    found = ipaddress.ip_network(str(chosen.subnet))
    assert not any(found.overlaps(ipaddress.ip_network(str(other.subnet))) for other in others)
    assert found.is_private


def test_a_route_over_all_of_10_leads_to_another_pool() -> None:
    chosen = plan_addressing(NetworkSpec(name="a"), taken("10.0.0.0/8", "172.16.0.0/16"))
    assert str(chosen.subnet) == "172.17.0.0/20"


def test_no_pool_left_is_said() -> None:
    message = refusal(NetworkSpec(name="a"), *taken("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
    assert message == "no free subnet is left for network a in 10.208.0.0/12, 172.16.0.0/12, 192.168.0.0/16"


def test_an_explicit_subnet_is_honoured() -> None:
    spec = NetworkSpec(name="a", subnet="172.28.0.0/16", ip_range="172.28.5.0/24", gateway="172.28.5.254")
    addressing = plan_addressing(spec, [])
    assert AddressPool(addressing).allocate("x") == "172.28.5.0"
    assert addressing.gateway == "172.28.5.254"


def test_an_explicit_subnet_that_overlaps_is_refused_by_name() -> None:
    message = refusal(NetworkSpec(name="a", subnet="10.5.0.0/16"), *taken("10.5.7.0/24"))
    assert message == "subnet 10.5.0.0/16 of network a overlaps 10.5.7.0/24 of network 10.5.7.0/24"


def test_an_explicit_subnet_may_lie_inside_a_route_but_not_hide_one() -> None:
    wide = Taken(parse_subnet("10.0.0.0/8"), "a route through 192.0.2.1", is_wide=True)
    assert plan_addressing(NetworkSpec(name="a", subnet="10.5.0.0/16"), [wide])
    narrow = Taken(parse_subnet("10.5.6.0/24"), "a route through 192.0.2.1", is_wide=True)
    assert "overlaps" in refusal(NetworkSpec(name="a", subnet="10.5.0.0/16"), narrow)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"subnet": "10.5.0.1/16"}, "should be 10.5.0.0/16"),
        ({"subnet": "10.5.0.0"}, "is not a subnet"),
        ({"subnet": "10.5.0.0/31"}, "from /8 to /30"),
        ({"subnet": "fd00::/64"}, "IPv6"),
        ({"subnet": "10.5.0.0/16", "gateway": "10.6.0.1"}, "no host address"),
        ({"subnet": "10.5.0.0/16", "gateway": "10.5.255.255"}, "no host address"),
        ({"subnet": "10.5.0.0/16", "ip_range": "10.6.0.0/24"}, "not inside"),
        ({"gateway": "10.5.0.1"}, "no subnet"),
    ],
)
def test_addressing_that_makes_no_sense_is_refused(fields: dict[str, str], part: str) -> None:
    assert part in refusal(NetworkSpec(name="a", **fields))


def test_an_address_is_used_again_only_after_going_round() -> None:
    addresses = pool()
    given_out = []
    for _ in range(6):
        given_out.append(addresses.allocate("x"))
        addresses.release(given_out[-1])
    assert given_out == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]


def test_addresses_that_others_will_want_are_given_out_last() -> None:
    addresses = pool("10.0.0.0/29")
    given_out = [addresses.allocate("x", spared=["10.0.0.2", "10.0.0.4"]) for _ in range(5)]
    assert given_out == [f"10.0.0.{last}" for last in (3, 5, 6, 2, 4)]


def test_a_full_network_says_so() -> None:
    addresses = pool("10.0.0.0/30")
    addresses.allocate("x")
    with pytest.raises(AddressError, match=r"no address is left in 10\.0\.0\.0/30: 1 are in use"):
        addresses.allocate("y")


def test_a_fixed_address_is_refused_naming_who_has_it() -> None:
    addresses = pool(web="10.0.0.5")
    with pytest.raises(AddressTaken, match=r"address 10\.0\.0\.5 is taken by another container") as caught:
        addresses.claim("10.0.0.5", "db")
    assert caught.value.holder == "web"
    assert addresses.claim("10.0.0.5", "web") == "10.0.0.5"


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.1.2", "10.0.0.999", "x", "::1"])
def test_a_fixed_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        pool().claim(address, "db")


@given(st.lists(st.tuples(st.sampled_from("acr"), st.integers(0, 15)), max_size=60))
def test_no_address_is_ever_given_out_twice(steps: list[tuple[str, int]]) -> None:
    addresses = pool("10.0.0.0/28")
    held: dict[str, str] = {}
    for number, (verb, last) in enumerate(steps):
        address, owner = f"10.0.0.{last}", f"owner {number}"
        try:
            if verb == "r":
                addresses.release(address)
                held.pop(address, None)
                continue
            got = addresses.allocate(owner) if verb == "a" else addresses.claim(address, owner)
        except AddressError:
            assert verb == "c" or len(held) == 13
            continue
        assert got not in held
        assert got not in ("10.0.0.0", "10.0.0.1", "10.0.0.15")
        held[got] = owner
    assert addresses.owners == held
    rebuilt = AddressPool(Addressing(parse_subnet("10.0.0.0/28"), parse_subnet("10.0.0.0/28"), "10.0.0.1"), held)
    assert rebuilt.owners == held


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 32))
def test_subnets_agree_with_the_standard_library(a: int, b: int, p: int, q: int) -> None:
    first, second = subnet_of(a, p), subnet_of(b, q)
    theirs, others = ipaddress.ip_network((a, p), strict=False), ipaddress.ip_network((b, q), strict=False)
    assert str(first) == str(theirs)
    assert parse_subnet(str(first)) == first
    assert first.overlaps(second) == theirs.overlaps(others)
    assert first.holds(b) == (ipaddress.ip_address(b) in theirs)
    assert first.last == int(theirs.broadcast_address)


@given(st.text(max_size=20))
def test_what_is_read_as_an_address_is_one(text: str) -> None:
    try:
        number = parse_address(text)
    except ValueError:
        return
    assert int(ipaddress.IPv4Address(text)) == number


def test_the_mac_follows_from_the_address() -> None:
    assert mac_of("10.208.0.2").hex(":") == "02:42:0a:d0:00:02"
    assert parse_mac("02:42:0A:d0:00:02") == mac_of("10.208.0.2")
    for wrong in ("", "02:42", "03:42:0a:d0:00:02", "02420ad00002", "02:42:0a:d0:00:zz"):
        with pytest.raises(ValueError, match=r"MAC|group"):
            parse_mac(wrong)


def test_a_subnet_of_one_address_overlaps_itself() -> None:
    assert Subnet(1, 32).overlaps(Subnet(0, 0))
