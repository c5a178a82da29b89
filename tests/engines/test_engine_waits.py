"""What AwaitCondition means, on every engine."""

from __future__ import annotations

import pytest

from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.model.stack import Condition
from stackctl.reconcile.action import AwaitCondition, CreateContainer, StopContainer
from tests.engines.conftest import Bench, check


def wait(bench: Bench, condition: Condition, *texts: str, timeout_s: float = 0) -> None:
    bench.do(AwaitCondition(tuple(bench.name(text) for text in texts), condition, timeout_s))


def refused(bench: Bench, condition: Condition, *texts: str, timeout_s: float = 0) -> EngineError:
    with pytest.raises(EngineError) as caught:
        wait(bench, condition, *texts, timeout_s=timeout_s)
    return caught.value


def test_a_container_is_healthy_once_its_check_passes(bench: Bench) -> None:
    bench.run("web", health=check("true"))
    wait(bench, "service_healthy", "web")
    assert bench.one("web").health == "healthy"


def test_a_container_without_a_check_is_healthy_while_it_runs(bench: Bench) -> None:
    bench.run("web")
    wait(bench, "service_healthy", "web")
    assert bench.one("web").health == "none"


def test_who_ends_soon_after_it_began_was_never_healthy(bench: Bench) -> None:
    bench.run("web", "sleep", "0.1")
    assert refused(bench, "service_healthy", "web").code == "dependency-exited"


def test_a_failing_check_ends_the_wait(bench: Bench) -> None:
    bench.run("web", health=check("false"))
    error = refused(bench, "service_healthy", "web")
    assert isinstance(error, ContainerError)
    assert error.code == "health-never-reached"


def test_who_exits_will_not_be_healthy(bench: Bench) -> None:
    bench.run("web", "sh", "-c", "exit 4", health=check("false"))
    error = refused(bench, "service_healthy", "web")
    assert (error.code, str(error)) == (
        "dependency-exited",
        f"container {bench.name('web')} exited (4) before it was healthy",
    )


def test_a_one_shot_is_awaited_until_it_has_exited(bench: Bench) -> None:
    bench.run("job", "sleep", "0.1")
    wait(bench, "service_completed_successfully", "job")
    assert (bench.one("job").state, bench.one("job").exit_code) == ("exited", 0)


def test_a_one_shot_that_fails_ends_the_wait(bench: Bench) -> None:
    bench.run("job", "sh", "-c", "exit 3")
    error = refused(bench, "service_completed_successfully", "job")
    assert (error.code, str(error)) == (
        "dependency-failed",
        f"container {bench.name('job')} didn't complete successfully: exit 3",
    )


def test_whoever_was_started_has_started(bench: Bench) -> None:
    web = bench.run("web")
    wait(bench, "service_started", "web")
    bench.do(StopContainer(web.name, web.id, 0))
    wait(bench, "service_started", "web")


def test_the_condition_must_hold_for_all(bench: Bench) -> None:
    bench.run("job-1", "sleep", "0.1")
    bench.run("job-2", "sh", "-c", "exit 1")
    assert refused(bench, "service_completed_successfully", "job-1", "job-2").code == "dependency-failed"


@pytest.mark.parametrize("condition", ["service_started", "service_healthy", "service_completed_successfully"])
def test_nobody_is_awaited_in_vain(bench: Bench, condition: Condition) -> None:
    error = refused(bench, condition, "nobody")
    assert isinstance(error, NotFound)
    assert error.code == "no-such-container"


def test_a_wait_ends_in_time_and_says_who_is_late(bench: Bench) -> None:
    bench.run("web")
    bench.do(CreateContainer(bench.container("late")))
    error = refused(bench, "service_started", "web", "late", timeout_s=0.1)
    assert (error.code, str(error)) == ("wait-timeout", f"{bench.name('late')} not running after 0.1 s")


def test_a_wait_ends_when_it_is_cancelled(bench: Bench) -> None:
    bench.run("web")
    action = AwaitCondition((bench.name("web"),), "service_completed_successfully")
    with pytest.raises(EngineError) as caught:
        bench.engine.perform(action, lambda: True)
    assert caught.value.code == "cancelled"
