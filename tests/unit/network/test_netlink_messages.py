from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.runtime.kernel.netlink import attr, attributes, nest, text
from stackctl.runtime.kernel.rtnetlink import create_bridge
from stackctl.runtime.network.bridges import bridge_name
from stackctl.runtime.network.firewall import (
    Backend,
    FirewallNetwork,
    FirewallPort,
    FirewallState,
    published,
    render_difference,
)


@given(st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=50)), max_size=10))
def test_attributes_are_read_as_they_were_written(values: list[tuple[int, bytes]]) -> None:
    assert attributes(b"".join(attr(kind, data) for kind, data in values)) == values


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    attributes(data)


def test_what_does_not_fit_is_refused_not_wrapped() -> None:
    with pytest.raises(ValueError, match="too long"):
        attr(1, b"x" * 65532)
    with pytest.raises(ValueError, match="too long"):
        nest(1, attr(1, b"x" * 40000), attr(2, b"x" * 40000))
    with pytest.raises(ValueError, match="NUL"):
        text(1, "a\0b")
    with pytest.raises(ValueError, match="longer than 15"):
        create_bridge("x" * 16, mac=b"")


def test_bridge_names_fit() -> None:
    assert bridge_name("abcdef", "0123456789") == "scabcdef-012345"
    assert len(bridge_name("abcdef", "0123456789")) == 15


def test_a_port_written_twice_is_one_port_with_all_replicas() -> None:
    ports = [
        FirewallPort("tcp", "", 80, (Backend("10.0.0.2", 80),)),
        FirewallPort("tcp", "0.0.0.0", 80, (Backend("10.0.0.3", 80),)),
        FirewallPort("tcp", "::1", 80, ()),
        FirewallPort("udp", "", 80, ()),
    ]
    merged = published(ports)
    assert list(merged) == ["tcp-any-80", "udp-any-80"]
    assert [backend.address for backend in merged["tcp-any-80"].backends] == ["10.0.0.2", "10.0.0.3"]


def test_an_unchanged_state_needs_no_transaction() -> None:
    state = FirewallState(
        (FirewallNetwork("scabcdef-000001", "10.208.0.0/20"),),
        (FirewallPort("tcp", "", 80, (Backend("10.208.0.2", 80),)),),
    )
    assert len(render_difference("t", state, state)) == 0
    moved = FirewallState(state.networks, (state.ports[0]._replace(backends=(Backend("10.208.0.3", 80),)),))
    assert len(render_difference("t", state, moved)) == 2
