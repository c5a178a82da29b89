"""Verbs about what exists: down, stop, start, restart, kill, and what comes before a one-off of `run`."""

from __future__ import annotations

import pytest

from stackctl.errors import PlanError
from stackctl.model.container import ContainerSpec
from stackctl.reconcile.action import CreateContainer, StartContainer
from stackctl.reconcile.oneoff import RunOverrides, oneoff_spec
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import NAME, Shop

STACK = """
services:
  web:
    image: web:1
    depends_on: [db]
  db:
    image: db:1
    volumes: [data:/data]
volumes:
  data:
"""


def text_of(verb: str, *, after: str = "", stack: str = STACK, **policy: object) -> str:
    shop = Shop()
    shop.up(stack)
    if after:
        shop.do(after)
    return plan_text(shop.plan_existing(verb, **policy))


def one_off(shop: Shop, stack: str = STACK) -> ContainerSpec:
    """Run a one-off of web."""
    wanted = shop.desired(stack)
    base = next(container.spec for key, container in wanted.containers.items() if key.name == "web")
    spec = oneoff_spec(base, NAME, "web", RunOverrides(), "abc")
    shop.engine.perform(CreateContainer(spec), lambda: False)
    shop.engine.perform(StartContainer(spec.name), lambda: False)
    return spec


def test_down_stops_dependents_first_and_keeps_volumes() -> None:
    assert (
        text_of("down")
        == """\
1 stop shop-web-1             asked for
2 stop shop-db-1              asked for once ended 1
3 remove shop-db-1            asked for after 2
4 remove shop-web-1           asked for after 1
5 remove network shop_default asked for after 3 4
"""
    )


def test_down_with_volumes_removes_them_last_and_says_so() -> None:
    shop = Shop()
    shop.up(STACK)
    plan = shop.plan_existing("down", remove_volumes=True)
    assert plan_text(plan).splitlines()[-1] == "6 remove volume shop_data     asked for by --volumes after 3"
    assert [(c.step, c.text) for c in plan.confirmations] == [(6, "volume shop_data is deleted with everything in it")]


def test_down_of_nothing_is_nothing() -> None:
    assert plan_text(Shop().plan_existing("down", remove_volumes=True)) == ""


def test_down_of_a_service_leaves_the_others_their_network() -> None:
    assert (
        text_of("down", services=("web",)) == "1 stop shop-web-1   asked for\n2 remove shop-web-1 asked for after 1\n"
    )


def test_down_takes_orphans_with_it() -> None:
    assert "remove shop-web-1" in text_of("down", stack=STACK.replace("[db]", "[]"))


def test_down_keeps_one_offs_and_the_network_they_run_on() -> None:
    shop = Shop()
    shop.up(STACK)
    spec = one_off(shop)
    plan = shop.plan_existing("down")
    assert spec.name not in plan_text(plan) and "network" not in plan_text(plan)
    assert [warning.code for warning in plan.warnings] == ["network-in-use"]
    removing = shop.plan_existing("down", remove_orphans=True)
    assert f"remove {spec.name}" in plan_text(removing) and "remove network" in plan_text(removing)


def test_down_leaves_nothing() -> None:
    shop = Shop()
    shop.up(STACK)
    shop.do("down", remove_volumes=True)
    found = shop.look()
    assert (found.containers, found.networks, found.volumes) == ((), (), ())


def test_stop_goes_from_dependents_to_dependencies() -> None:
    assert text_of("stop") == "1 stop shop-web-1 asked for\n2 stop shop-db-1  asked for once ended 1\n"


def test_stop_of_a_service_stops_it_alone() -> None:
    assert text_of("stop", services=("db",)) == "1 stop shop-db-1 asked for\n"


def test_stop_of_what_is_stopped_is_nothing() -> None:
    assert text_of("stop", after="stop") == ""


def test_start_goes_from_dependencies_to_dependents() -> None:
    assert (
        text_of("start", after="stop")
        == """\
1 start shop-db-1  asked for
2 start shop-web-1 asked for after 1
"""
    )


def test_start_of_a_service_starts_what_it_needs() -> None:
    assert "start shop-db-1" in text_of("start", after="stop", services=("web",))
    assert "start shop-db-1" not in text_of("start", after="stop", services=("web",), no_deps=True)


def test_start_keeps_the_conditions() -> None:
    stack = STACK.replace("[db]", "{db: {condition: service_healthy}}") + "# end\n"
    stack = stack.replace("image: db:1", "image: db:1\n    healthcheck: {test: [CMD, ok]}")
    assert (
        text_of("start", after="stop", stack=stack)
        == """\
1 start shop-db-1            asked for
2 await healthy of shop-db-1 others wait for db after 1
3 start shop-web-1           asked for          after 2
"""
    )


def test_restart_stops_all_and_starts_all() -> None:
    assert (
        text_of("restart")
        == """\
1 stop shop-web-1  asked for
2 stop shop-db-1   asked for once ended 1
3 start shop-db-1  asked for after 2
4 start shop-web-1 asked for after 1 3
"""
    )


def test_replicas_are_restarted_one_after_the_other() -> None:
    two = STACK.replace("image: web:1", "image: web:1\n    deploy: {replicas: 2}") + "# end\n"
    assert (
        text_of("restart", stack=two, services=("web",))
        == """\
1 stop shop-web-1             asked for
2 start shop-web-1            asked for                   after 1
3 await healthy of shop-web-1 one replica after the other after 2
4 stop shop-web-2             asked for                   after 3
5 start shop-web-2            asked for                   after 4
6 await healthy of shop-web-2 one replica after the other after 5
"""
    )


def test_restart_of_a_service_restarts_who_asked_for_it() -> None:
    following = STACK.replace("[db]", "{db: {condition: service_started, restart: true}}")
    assert "web" not in text_of("restart", services=("db",))
    assert "start shop-web-1" in text_of("restart", services=("db",), stack=following)
    assert "web" not in text_of("restart", services=("db",), stack=following, no_deps=True)


def test_kill_sends_the_signal_to_all_that_run() -> None:
    assert text_of("kill") == "1 kill shop-db-1 with SIGKILL  asked for\n2 kill shop-web-1 with SIGKILL asked for\n"
    assert text_of("kill", services=("web",), signal="SIGHUP") == "1 kill shop-web-1 with SIGHUP asked for\n"
    assert text_of("kill", after="stop") == ""


def test_a_service_without_containers_cannot_be_named() -> None:
    with pytest.raises(PlanError) as caught:
        text_of("stop", services=("cache",))
    assert str(caught.value) == "service cache has no containers"


def test_a_one_off_gets_its_networks_volumes_and_dependencies() -> None:
    assert (
        plan_text(Shop().plan_run(STACK, "web"))
        == """\
1 create network shop_default is missing
2 create volume shop_data     is missing
3 create shop-db-1            is missing after 1 2
4 start shop-db-1             is missing after 3
"""
    )


def test_a_one_off_waits_for_what_its_service_waits_for() -> None:
    stack = STACK.replace("[db]", "{db: {condition: service_completed_successfully}}")
    text = plan_text(Shop().plan_run(stack, "web"))
    assert text.splitlines()[-1].startswith("5 await completed_successfully of shop-db-1")


def test_a_one_off_without_dependencies_gets_its_network_alone() -> None:
    text = plan_text(Shop().plan_run(STACK, "web", no_deps=True))
    assert text == "1 create network shop_default is missing\n"


def test_up_does_not_touch_one_offs() -> None:
    shop = Shop()
    shop.up(STACK)
    spec = one_off(shop)
    assert plan_text(shop.plan(STACK)) == ""
    shop.engine.exit(spec.name, 0)
    assert plan_text(shop.plan(STACK)) == ""
    assert plan_text(shop.plan(STACK, remove_orphans=True)) == "1 remove shop-web-run-abc one-off that has ended\n"
