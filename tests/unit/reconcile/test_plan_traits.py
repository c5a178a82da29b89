"""What plans make of an engine that can do less."""

from __future__ import annotations

import pytest

from stackctl.engines.memory import MemoryEngine
from stackctl.errors import PlanError
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.plan import Plan
from tests.support.shop import Shop, image

WEB = """
services:
  web:
    image: web:1
"""


def shop_with(traits: Traits) -> Shop:
    shop = Shop()
    shop.engine = MemoryEngine({"img:1": image("img:1")}, traits=traits)
    return shop


def becomes(plan: Plan) -> list[str]:
    return [change.kind for change in plan.changes if change.kind != "keep"]


@pytest.mark.parametrize(
    ("traits", "before", "after", "kind"),
    [
        (Traits(), "mem_limit: 64m", "mem_limit: 96m", "update"),
        (Traits(), "mem_limit: 64m", "", "update"),
        (Traits(can_lift_limits=False), "mem_limit: 64m", "mem_limit: 96m", "update"),
        (Traits(can_lift_limits=False), "", "mem_limit: 96m", "update"),
        (Traits(can_lift_limits=False), "mem_limit: 64m", "", "replace"),
        (Traits(fixed_limits=frozenset({"pids"})), "mem_limit: 64m", "mem_limit: 96m", "update"),
        (Traits(fixed_limits=frozenset({"pids"})), "pids_limit: 5", "pids_limit: 6", "replace"),
    ],
)
def test_a_limit_changes_live_only_as_far_as_the_engine_can(traits: Traits, before: str, after: str, kind: str) -> None:
    shop = shop_with(traits)
    shop.up(f"{WEB}    {before}\n")
    assert becomes(shop.plan(f"{WEB}    {after}\n")) == [kind]


def test_a_fixed_host_port_is_shared_only_where_that_can_be() -> None:
    text = f"{WEB}    ports: ['8080:80']\n    deploy: {{replicas: 2}}\n"
    assert becomes(shop_with(Traits()).plan(text)) == ["create"] * 3
    with pytest.raises(PlanError) as caught:
        shop_with(Traits(can_share_ports=False)).plan(text)
    (told,) = caught.value.diagnostics
    assert (told.code, told.hint) == ("port-range-too-small", "publish a range, 8080-8081")
    assert "8080 is one port, which this engine gives to one container alone" in told.detail


def test_ports_of_any_number_are_no_matter() -> None:
    text = f"{WEB}    ports: ['80', '9000-9001:81']\n    deploy: {{replicas: 2}}\n"
    assert becomes(shop_with(Traits(can_share_ports=False)).plan(text)) == ["create"] * 3
