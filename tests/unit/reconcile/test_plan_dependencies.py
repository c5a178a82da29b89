"""Who waits for whom, and who follows whom, as the text of the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.diagnostics import render
from stackctl.engines.memory_world import Behaviour
from stackctl.errors import PlanError
from stackctl.model.stack import ShareServiceNetwork
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import Shop, up_text

TWO = """
services:
  web:
    image: web:1
    depends_on:
      db: {NEED}
  db:
    image: db:1
    healthcheck: {test: [CMD, ok]}
"""
STARTED = TWO.replace("NEED", "condition: service_started")
HEALTHY = TWO.replace("NEED", "condition: service_healthy")
RESTARTED = TWO.replace("NEED", "condition: service_healthy, restart: true")
OPTIONAL = TWO.replace("NEED", "condition: service_healthy, required: false")
JOB = """
services:
  web:
    image: web:1
    depends_on:
      job: {condition: service_completed_successfully}
  job:
    image: job:1
"""
DONE = {"job": Behaviour(exits_after_s=1)}
FAILED = {"job": Behaviour(exits_after_s=1, exit_code=3)}


def test_service_started_waits_for_the_start() -> None:
    assert (
        up_text("", STARTED)
        == """\
1 create network shop_default is missing
2 create shop-db-1            is missing after 1
3 start shop-db-1             is missing after 2
4 create shop-web-1           is missing after 1
5 start shop-web-1            is missing after 3 4
"""
    )


def test_service_healthy_waits_for_the_health_check() -> None:
    assert (
        up_text("", HEALTHY)
        == """\
1 create network shop_default is missing
2 create shop-db-1            is missing         after 1
3 start shop-db-1             is missing         after 2
4 create shop-web-1           is missing         after 1
5 await healthy of shop-db-1  others wait for db after 3
6 start shop-web-1            is missing         after 4 5
"""
    )


def test_service_completed_successfully_waits_for_the_exit() -> None:
    assert (
        up_text("", JOB)
        == """\
1 create network shop_default                is missing
2 create shop-job-1                          is missing          after 1
3 start shop-job-1                           is missing          after 2
4 create shop-web-1                          is missing          after 1
5 await completed_successfully of shop-job-1 others wait for job after 3
6 start shop-web-1                           is missing          after 4 5
"""
    )


def test_all_who_wait_for_a_service_share_one_wait() -> None:
    text = HEALTHY + "  api:\n    image: api:1\n    depends_on: {db: {condition: service_healthy}}\n"
    plan = Shop().plan(text)
    (wait,) = [step.number for step in plan.steps if "await" in plan_text(plan).splitlines()[step.number - 1]]
    assert sum(wait in step.after for step in plan.steps) == 2


def test_every_replica_is_waited_for() -> None:
    assert "await healthy of shop-db-1 shop-db-2 " in up_text("", HEALTHY + "    deploy: {replicas: 2}\n")


def test_an_optional_dependency_need_only_have_ended() -> None:
    shop = Shop({"db": Behaviour(healthy_after_s=None, unhealthy_after_s=1)})
    plan = shop.plan(OPTIONAL)
    report = shop.apply(plan)
    assert plan_text(plan).splitlines()[-1].split("missing")[1].split() == "after 4, once ended 5".split()
    assert [outcome.state for outcome in report.outcomes] == ["done", "done", "done", "done", "failed", "done"]
    assert shop.states() == {"db-1": "running", "web-1": "running"}


def test_who_waits_for_a_failure_is_skipped_and_nothing_else() -> None:
    shop = Shop(FAILED)
    report = shop.apply(shop.plan(JOB + "  other:\n    image: other:1\n"))
    assert [str(outcome.error) for outcome in report.failures] == [
        "container shop-job-1 didn't complete successfully: exit 3"
    ]
    assert shop.states() == {"job-1": "exited", "other-1": "running", "web-1": "created"}


def test_a_one_shot_that_was_done_is_not_run_again() -> None:
    assert up_text(JOB, JOB, behaviours=DONE) == ""


def test_a_one_shot_that_nobody_awaits_is_run_again() -> None:
    alone = "services:\n  job:\n    image: job:1\n"
    shop = Shop(DONE)
    shop.up(alone)
    shop.engine.advance(1)
    assert plan_text(shop.plan(alone)) == "1 start shop-job-1 exited (0)\n"


def test_a_one_shot_that_failed_is_run_again_for_those_who_wait() -> None:
    shop = Shop(FAILED)
    shop.apply(shop.plan(JOB))
    assert (
        plan_text(shop.plan(JOB))
        == """\
1 start shop-job-1                           exited (3)
2 await completed_successfully of shop-job-1 others wait for job after 1
3 start shop-web-1                           is not started      after 2
"""
    )


def test_a_one_shot_under_another_specification_is_run_again() -> None:
    text = up_text(JOB, JOB.replace("job:1", "job:2"), behaviours=DONE)
    assert [line.split()[1:3] for line in text.splitlines()] == [
        ["create", "000000000002_shop-job-1"],
        ["remove", "shop-job-1"],
        ["rename", "000000000002_shop-job-1"],
        ["start", "shop-job-1"],
    ]


def test_a_changed_dependency_leaves_who_depends_on_it_alone() -> None:
    text = up_text(HEALTHY, HEALTHY.replace("db:1", "db:2"))
    assert "web" not in text and "start shop-db-1" in text


def test_a_changed_dependency_restarts_who_asked_for_it() -> None:
    assert (
        up_text(RESTARTED, RESTARTED.replace("db:1", "db:2"))
        == """\
1 create 000000000002_shop-db-1              image: db:1 -> db:2  (shop.yaml:9)
2 stop shop-db-1                             replaced by 1                      after 1
3 remove shop-db-1                           replaced by 1                      after 2
4 rename 000000000002_shop-db-1 to shop-db-1 replacement                        after 3
5 start shop-db-1                            replacement                        after 4
6 await healthy of shop-db-1                 others wait for db                 after 5
7 stop shop-web-1                            depends on db with restart: true   after 6
8 start shop-web-1                           depends on db with restart: true   after 6 7
"""
    )


def test_a_changed_service_leaves_what_it_depends_on_alone() -> None:
    text = up_text(RESTARTED, RESTARTED.replace("web:1", "web:2"))
    assert "shop-db-1" not in text and "start shop-web-1" in text


def test_a_restart_that_was_cut_off_is_caught_up() -> None:
    shop, after = Shop(), RESTARTED.replace("db:1", "db:2")
    shop.up(RESTARTED)
    for step in shop.plan(after).steps[:5]:
        shop.engine.perform(step.action, lambda: False)
    assert (
        plan_text(shop.plan(after))
        == """\
1 await healthy of shop-db-1 others wait for db
2 stop shop-web-1            depends on db with restart: true after 1
3 start shop-web-1           depends on db with restart: true after 1 2
"""
    )


def test_who_shares_a_network_namespace_is_replaced_with_its_owner() -> None:
    before = "services:\n  app:\n    image: app:1\n  side:\n    image: side:1\n    network_mode: service:app\n"
    text = up_text(before, before.replace("app:1", "app:2"))
    assert "start shop-side-1" in text
    assert "shares the network of shop-app-1, which is made anew" in text


def test_among_fifty_services_one_change_touches_one() -> None:
    services = "".join(
        f"  s{number}:\n    image: s{number}:1\n    depends_on: [s{number - 1}]\n" for number in range(1, 50)
    )
    before = f"services:\n  s0:\n    image: s0:1\n{services}"
    text = up_text(before, before.replace("s25:1", "s25:2"))
    assert {line.split("shop-")[1].split()[0] for line in text.splitlines()} == {"s25-1"}


def test_a_circle_is_shown_with_its_lines() -> None:
    text = """services:
  a:
    image: a:1
    depends_on: {b: {condition: service_started}}
  b:
    image: b:1
    depends_on: [c]
  c:
    image: c:1
    network_mode: service:d
  d:
    image: d:1
"""
    # Stack files with a circle are refused before: what a client sent need not have been checked.
    shop = Shop()
    stack = shop.desired(text).stack
    circular = replace(stack.services["c"], networking=ShareServiceNetwork("a"))
    wanted = shop.desired_of(replace(stack, services={**stack.services, "c": circular}))
    with pytest.raises(PlanError) as caught:
        shop.plan_of(wanted)
    (diagnostic,) = caught.value.diagnostics
    assert (
        render(diagnostic, text_of_line=dict(shop.loaded(text).lines))
        == """\
error[dependency-cycle]: Services depend on each other in a circle
  --> shop.yaml:5:18
    5 |     depends_on: {b: {condition: service_started}}
      |                  ^
  --> shop.yaml:8:18
    8 |     depends_on: [c]
      |                  ^
  --> shop.yaml:11:19
   11 |     network_mode: service:d
      |                   ^^^^^^^^^
a -> b -> c -> a: none of them could start first.
hint: remove one of these depends_on entries"""
    )
    assert str(caught.value) == "services depend on each other in a circle: a -> b -> c -> a"
