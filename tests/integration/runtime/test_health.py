"""Health checks: what is run, when, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.composed import Composed, composed, one_service
from tests.support.engine import Engine, wait_until


def _health(stack: Composed) -> dict[str, Any]:
    found: dict[str, Any] = stack.inspect("one-web-1")["State"]["Health"]
    return found


def _service(check: str, command: str = "sleep 1000", **settings: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in settings.items())
    return one_service(f"command: {command}, stop_grace_period: 0s, healthcheck: {{{check}}}{more}")


@pytest.mark.parametrize(
    "test",
    [
        "[CMD, test, -e, /proc/1/status]",
        "[CMD-SHELL, 'echo $$A >&2 && [ $$(id -u) = 1000 ]']",
        "'true || false'",
    ],
)
def test_a_service_gets_healthy_at_once_by_its_first_probe(shared_engine: Engine, tmp_path: Path, test: str) -> None:
    text = _service(f"test: {test}, interval: 1h", user='"1000"')
    with composed(shared_engine, tmp_path / "s", text, "-d", "--wait") as stack:
        health = _health(stack)

    assert health["Status"] == "healthy"
    assert [result["ExitCode"] for result in health["Log"]] == [0]


def test_a_probe_runs_in_the_container_with_its_environment(shared_engine: Engine, tmp_path: Path) -> None:
    check = "test: 'echo $$NAME; pwd; cat /proc/self/cgroup | sort -u | tail -n 1; grep Seccomp: /proc/self/status'"
    text = _service(f"{check}, interval: 1h", environment="{NAME: mine}", working_dir="/home")
    with composed(shared_engine, tmp_path / "s", text, "-d", "--wait") as stack:
        output = _health(stack)["Log"][0]["Output"]

    assert output.splitlines()[:2] == ["mine", "/home"]
    assert output.splitlines()[3] == "Seccomp:\t2"


def test_failures_count_up_to_the_retries(shared_engine: Engine, tmp_path: Path) -> None:
    text = _service("test: 'echo broken; exit 3', interval: 100ms, retries: 3")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        stack.wait_for("web", Health="unhealthy")
        health = _health(stack)

    assert health["FailingStreak"] >= 3
    assert {(result["ExitCode"], result["Output"]) for result in health["Log"]} == {(3, "broken\n")}


def test_a_service_gets_well_again(shared_engine: Engine, tmp_path: Path) -> None:
    text = _service("test: '[ ! -e /sick ]', interval: 100ms, retries: 1")
    with composed(shared_engine, tmp_path / "s", text, "-d", "--wait") as stack:
        stack.sh("web", "touch /sick")
        stack.wait_for("web", Health="unhealthy")
        stack.sh("web", "rm /sick")

        stack.wait_for("web", Health="healthy")


def test_failures_in_the_start_period_do_not_count(shared_engine: Engine, tmp_path: Path) -> None:
    text = _service("test: '[ -e /ready ]', interval: 50ms, retries: 1, start_period: 1h, start_interval: 50ms")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        wait_until("it was probed five times", lambda: len(_health(stack)["Log"]) == 5)
        before = _health(stack)
        stack.sh("web", "touch /ready")
        stack.wait_for("web", Health="healthy")

    assert (before["Status"], before["FailingStreak"]) == ("starting", 0)


def test_a_probe_that_takes_too_long_is_killed_with_all_it_started(shared_engine: Engine, tmp_path: Path) -> None:
    stubborn = 'trap "" TERM; (sleep 777 & sleep 778) & sleep 779'
    text = _service(f"test: '{stubborn}', interval: 100ms, timeout: 300ms, retries: 1")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        stack.wait_for("web", Health="unhealthy")
        result = _health(stack)["Log"][0]
        # Dead ones stay as zombies in a container whose first process does not reap; those are not meant.
        alive = "grep -h ^State: /proc/[0-9]*/status | grep -vc zombie"
        most = max(int(stack.sh("web", alive)) for _ in range(4))

    assert result["ExitCode"] == -1
    assert "exceeded timeout (0.3s)" in result["Output"]
    assert most <= 4 + 2 * 5  # the service, this pipeline, and two probes of five processes at most


def test_a_check_can_be_switched_off(shared_engine: Engine, tmp_path: Path) -> None:
    with composed(shared_engine, tmp_path / "s", _service("disable: true"), "-d", "--wait") as stack:
        assert stack.row("web")["Health"] == ""


def test_only_the_beginning_of_much_output_is_kept(shared_engine: Engine, tmp_path: Path) -> None:
    text = _service("test: 'yes | head -c 300000', interval: 1h")
    with composed(shared_engine, tmp_path / "s", text, "-d", "--wait") as stack:
        assert _health(stack)["Log"][0]["Output"] == "y\n" * 2048


def test_a_probe_that_cannot_run_says_why(shared_engine: Engine, tmp_path: Path) -> None:
    text = _service("test: [CMD, nosuch], interval: 100ms, retries: 1")
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        stack.wait_for("web", Health="unhealthy")

        assert "command not found in the image: nosuch" in _health(stack)["Log"][0]["Output"]
