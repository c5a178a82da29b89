"""How replicas make way for others: the new one first or the old one, so many at a time, and back when it fails."""

from __future__ import annotations

import pytest

from stackctl.engines.memory_world import Behaviour
from stackctl.reconcile.action import RemoveContainer, StopContainer
from stackctl.reconcile.plan_text import plan_summary, plan_text
from tests.support.shop import Shop, up_text

WEB = """
services:
  web:
    image: web:1
    ports: ['8080:80']
"""
WRITES = WEB + "    volumes: ['data:/data']\n"
VOLUMES = "volumes: {data: }\n"
SICK = Behaviour(healthy_after_s=None, unhealthy_after_s=1)


def with_updates(text: str, replicas: int, **update: str) -> str:
    """Return the stack with so many replicas and an ``update_config``."""
    written = ", ".join(f"{key}: {value}" for key, value in update.items())
    config = f", update_config: {{monitor: 1s, {written}}}" if update else ""
    return f"{text}    deploy: {{replicas: {replicas}{config}}}\n    healthcheck: {{test: [CMD, ok]}}\n"


def changed(text: str) -> str:
    return text.replace("web:1", "web:2")


def titles(plan: str) -> list[str]:
    return [line.split()[1] for line in plan.splitlines()]


def edges_of(plan: str, title: str) -> str:
    (line,) = (line for line in plan.splitlines() if f" {title} " in line)
    return line.partition(" after ")[2]


def test_a_server_that_writes_nothing_is_replaced_by_one_that_is_ready_before_it_goes() -> None:
    assert (
        up_text(WEB, changed(WEB))
        == """\
1 create 000000000002_shop-web-1                          image: web:1 -> web:2  (shop.yaml:5)
2 start 000000000002_shop-web-1                           beside shop-web-1, which serves until then after 1
3 await healthy of 000000000002_shop-web-1                before it gets traffic                     after 2
4 switch traffic of shop-web-1 to 000000000002_shop-web-1 replaced by 1                              after 3
5 stop shop-web-1                                         replaced by 1                              after 4
6 remove shop-web-1                                       replaced by 1                              after 5
7 rename 000000000002_shop-web-1 to shop-web-1            replacement                                after 6
"""
    )


def test_the_summary_says_which_come_first() -> None:
    shop = Shop()
    shop.up(WEB)
    assert "± container shop-web-1  (replace, start-first)" in plan_summary(shop.plan(changed(WEB)))


def test_the_clients_of_one_that_writes_to_a_volume_wait_for_its_successor() -> None:
    assert (
        up_text(WRITES + VOLUMES, changed(WRITES) + VOLUMES)
        == """\
1 create 000000000002_shop-web-1               image: web:1 -> web:2  (shop.yaml:5)
2 stop shop-web-1                              replaced by 1; clients wait up to 5 s after 1
3 remove shop-web-1                            replaced by 1                         after 2
4 rename 000000000002_shop-web-1 to shop-web-1 replacement                           after 3
5 start shop-web-1                             replacement                           after 4
"""
    )


@pytest.mark.parametrize(
    "obstacle",
    [
        "volumes: ['data:/data']",
        "devices: [/dev/null]",
        "networks: {default: {mac_address: '02:42:00:00:00:09'}}",
        "ports: ['8080-8090:80']",
        "ports: ['80']",
    ],
)
def test_two_at_a_time_where_that_might_do_harm_must_be_asked_for(obstacle: str) -> None:
    text = WEB.replace("ports: ['8080:80']", f"expose: ['80']\n    {obstacle}") + "volumes: {data: }\n"
    assert "switch" not in up_text(text, changed(text))


def test_who_shares_the_network_of_a_service_keeps_it_from_being_there_twice() -> None:
    text = WEB + "  side:\n    image: side:1\n    network_mode: service:web\n"
    assert "switch" not in up_text(text, changed(text))


def test_start_first_that_cannot_be_is_told_with_its_line() -> None:
    text = WEB.replace("ports: ['8080:80']", "network_mode: host\n    deploy: {update_config: {order: start-first}}")
    shop = Shop()
    shop.up(text)
    (warning,) = shop.plan(changed(text)).warnings
    assert (warning.code, str(warning.sources[0])) == ("no-overlap", "shop.yaml:7")


def test_start_first_is_done_when_it_is_asked_for() -> None:
    text = with_updates(WRITES, 1, order="start-first") + VOLUMES
    assert titles(up_text(text, changed(text)))[:4] == ["create", "start", "await", "switch"]


def test_so_many_at_a_time_and_a_delay_between() -> None:
    text = with_updates(WEB, 3, order="start-first", parallelism="2", delay="3s")
    plan = up_text(text, changed(text))
    assert edges_of(plan, "start 000000000003_shop-web-2") == "9"
    assert "delay of 3 s before the next" in plan
    assert edges_of(plan, "start 000000000004_shop-web-3") == "17, unless any failed of 8 16"


def test_a_failure_that_is_tolerated_does_not_stop_the_update() -> None:
    text = with_updates(WRITES, 3, max_failure_ratio="0.5") + VOLUMES
    assert "unless more than 1 failed of 6 12" in up_text(text, changed(text))


def test_the_next_do_not_wait_for_success_where_a_failure_does_not_matter() -> None:
    text = with_updates(WRITES, 2, failure_action="continue") + VOLUMES
    assert edges_of(up_text(text, changed(text)), "stop shop-web-2") == "7, once ended 6"


def failed_update(text: str) -> tuple[Shop, str]:
    """Update to a version that never gets healthy; return the world after that, and who has traffic."""
    shop = Shop()
    shop.up(text)
    shop.engine.advance(1)
    shop.behaviours["web"] = SICK
    report = shop.apply(shop.plan(changed(text)))
    assert not report.is_ok
    serving = [
        f"{name} {container.image_ref}"
        for name, container in shop.containers().items()
        if container.state == "running" and container.health == "healthy" and not container.is_standby
    ]
    return shop, " ".join(serving)


def test_a_failed_update_pauses_and_the_old_ones_serve_on() -> None:
    shop, serving = failed_update(with_updates(WEB, 2, order="start-first"))
    assert serving == "web-1 web:1 web-2 web:1"
    assert sorted(shop.states()) == ["000000000002_shop-web-1", "000000000003_shop-web-2", "web-1", "web-2"]


def test_what_a_failed_update_left_is_removed_by_the_next() -> None:
    text = with_updates(WEB, 2, order="start-first")
    shop, _ = failed_update(text)
    shop.behaviours.clear()
    shop.up(changed(text))
    assert sorted(shop.states()) == ["web-1", "web-2"]
    assert plan_text(shop.plan(changed(text))) == ""


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_failed_update_is_rolled_back(order: str) -> None:
    text = with_updates(WEB, 2, order=order, failure_action="rollback")
    shop, serving = failed_update(text)
    shop.engine.advance(5)
    assert sorted(shop.states().items()) == [("web-1", "running"), ("web-2", "running")]
    assert {container.image_ref for container in shop.containers().values()} == {"web:1"}
    if order == "start-first":
        assert serving == "web-1 web:1 web-2 web:1"


def test_replicas_that_were_updated_already_are_rolled_back_too() -> None:
    text = with_updates(WEB, 2, order="start-first", failure_action="rollback")
    shop = Shop()
    shop.up(text)
    before = {name: container.started_ns for name, container in shop.containers().items()}
    plan = shop.plan(changed(text))
    second = next(
        step for step in plan.steps if "start 000000000003_shop-web-2" in plan_text(plan).splitlines()[step.number - 1]
    )
    done = {step.number for step in plan.steps if step.number < second.number}
    shop.behaviours["web"] = Behaviour()
    for step in plan.steps:
        if step.number in done and not step.only_if_failed:
            shop.engine.perform(step.action, lambda: False)
    shop.behaviours["web"] = SICK
    assert not shop.apply(plan).is_ok
    assert {name: container.started_ns for name, container in shop.containers().items()} == before
    assert not any(container.is_standby for container in shop.containers().values())


def test_nothing_is_rolled_back_after_success() -> None:
    text = with_updates(WEB, 2, order="start-first", failure_action="rollback")
    shop = Shop()
    shop.up(text)
    report = shop.apply(shop.plan(changed(text)))
    assert report.is_ok
    states = {outcome.step.because: outcome.state for outcome in report.outcomes}
    assert states["rollback: the update failed"] == "unneeded"
    assert plan_text(shop.plan(changed(text))) == ""


def test_one_that_an_interrupted_update_left_without_traffic_gets_it_back() -> None:
    shop = Shop()
    shop.up(WEB)
    for step in shop.plan(changed(WEB)).steps[:4]:
        shop.engine.perform(step.action, lambda: False)
    successor = shop.containers()["000000000002_shop-web-1"]
    for action in (StopContainer(successor.name, "", 0), RemoveContainer(successor.name, "")):
        shop.engine.perform(action, lambda: False)
    plan = shop.plan(WEB)
    assert plan_text(plan) == "1 switch traffic to shop-web-1 has no traffic: an update was interrupted\n"
    shop.apply(plan)
    assert plan_text(shop.plan(WEB)) == ""


def test_a_switch_that_was_done_is_gone_on_with() -> None:
    shop = Shop()
    shop.up(WEB)
    for step in shop.plan(changed(WEB)).steps[:4]:
        shop.engine.perform(step.action, lambda: False)
    assert titles(plan_text(shop.plan(changed(WEB)))) == ["stop", "remove", "rename"]
