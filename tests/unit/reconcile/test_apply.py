"""apply: order, failures and who is skipped, retries of what may pass, cancelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackctl.engines.memory import Fault
from stackctl.engines.memory_world import Behaviour
from stackctl.errors import EngineError, TransientError
from stackctl.reconcile.action import Action, StartContainer
from stackctl.reconcile.apply import apply, with_retries
from stackctl.reconcile.plan_text import action_title, plan_text
from tests.support.shop import Shop, Silent

CHAIN = """
services:
  web:
    image: web:1
    depends_on: [api]
  api:
    image: api:1
    depends_on: [db]
  db:
    image: db:1
  other:
    image: other:1
"""


class Flaky:
    """Fails some times, then works; counts."""

    def __init__(self, failures: int, error: EngineError) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return "done"


def never() -> bool:
    return False


def test_what_is_transient_is_tried_again_after_growing_pauses() -> None:
    act, pauses = Flaky(3, TransientError("gone")), list[float]()
    assert with_retries(act, never, sleep=pauses.append) == "done"
    assert act.calls == 4
    # The first call comes before any pause; each pause is random below a bound that doubles.
    assert [pause <= bound for pause, bound in zip(pauses, (0.1, 0.2, 0.4), strict=False)] == [True] * len(pauses)
    assert len(pauses) == 2


def test_it_is_tried_five_times_at_most() -> None:
    act = Flaky(99, TransientError("gone"))
    with pytest.raises(TransientError, match="gone"):
        with_retries(act, never, sleep=lambda _: None)
    assert act.calls == 5


def test_what_is_not_transient_is_not_tried_again() -> None:
    act = Flaky(1, EngineError("no"))
    with pytest.raises(EngineError, match="no"):
        with_retries(act, never, sleep=lambda _: None)
    assert act.calls == 1


def test_whoever_cancels_waits_for_no_more_tries() -> None:
    act = Flaky(99, TransientError("gone"))
    with pytest.raises(TransientError):
        with_retries(act, lambda: True, sleep=lambda _: None)
    assert act.calls == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_transient_failure_is_not_seen_by_the_user(moment: str) -> None:
    shop, seen = Shop(), set[str]()

    def once(action: Action) -> Fault | None:
        title = action_title(action)
        if title in seen or not title.startswith("create"):
            return None
        seen.add(title)
        return Fault("before" if moment == "before" else "after", TransientError("the supervisor went away"))

    shop.engine.fault_of = once
    shop.up(CHAIN)
    assert len(seen) == 5
    assert plan_text(shop.plan(CHAIN)) == ""


def failing(name: str, error: EngineError) -> Callable[[Action], Fault | None]:
    """Return what makes the start of one container fail."""

    def fault_of(action: Action) -> Fault | None:
        return Fault("before", error) if isinstance(action, StartContainer) and action.name == name else None

    return fault_of


def test_a_failed_step_skips_what_needs_it_and_says_which_it_was() -> None:
    shop = Shop()
    shop.engine.fault_of = failing("shop-db-1", EngineError("no"))
    report = shop.apply(shop.plan(CHAIN))
    states = {action_title(o.step.action): (o.state, o.because_of) for o in report.outcomes if o.state != "done"}
    (failed,) = report.failures
    assert states == {
        "start shop-db-1": ("failed", 0),
        "start shop-api-1": ("skipped", failed.step.number),
        "start shop-web-1": ("skipped", failed.step.number),
    }
    assert not report.is_ok
    assert shop.states()["other-1"] == "running"


def test_nothing_starts_before_what_it_waits_for() -> None:
    shop = Shop()
    plan = shop.up(CHAIN)
    at = {action: number for number, action in enumerate(shop.engine.performed)}
    numbers = {step.number: at[step.action] for step in plan.steps}
    assert all(numbers[before] < numbers[step.number] for step in plan.steps for before in step.after)


def test_a_cancelled_apply_starts_no_further_step() -> None:
    shop = Shop()
    report = shop.apply(shop.plan(CHAIN), lambda: bool(shop.engine.performed))
    states = {outcome.state for outcome in report.outcomes}
    assert states == {"done", "cancelled"}
    shop.up(CHAIN)
    assert plan_text(shop.plan(CHAIN)) == ""


def test_cancelling_ends_a_wait() -> None:
    shop = Shop({"db": Behaviour(healthy_after_s=None)})
    text = CHAIN.replace("[db]", "{db: {condition: service_healthy}}").replace(
        "image: db:1", "image: db:1\n    healthcheck: {test: [CMD, ok]}"
    )
    report = shop.apply(shop.plan(text), lambda: shop.states().get("db-1") == "running")
    assert "cancelled" in {outcome.state for outcome in report.outcomes}
    assert report.failures == ()


def test_an_internal_error_of_an_engine_is_reported_and_does_not_hang() -> None:
    shop = Shop()

    def broken(_: Action) -> Fault | None:
        raise ZeroDivisionError("oops")

    shop.engine.fault_of = broken
    report = shop.apply(shop.plan(CHAIN))
    assert str(report.failures[0].error) == "internal error: ZeroDivisionError: oops"


def test_the_reporter_hears_of_every_step() -> None:
    shop, reporter = Shop(), Silent()
    plan = shop.plan(CHAIN)
    apply(plan, shop.engine, reporter, never)
    assert sorted(outcome.step.number for outcome in reporter.outcomes) == [step.number for step in plan.steps]
