"""`post_start` and `pre_stop`: commands at two points of a container's life."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed
from tests.support.engine import Engine, wait_until

_STACK = """
    name: hooks
    services:
      web:
        image: busybox
        command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.05; done']
        user: "65534"
        environment: {FROM: container}
        working_dir: /tmp
        volumes: ["./told:/told"]
        post_start:
          - command: [sh, -c, 'echo "first $$(id -u) $$PWD $$FROM $$GIVEN" | tee -a /told/it']
            user: root
            working_dir: /told
            environment: [GIVEN=1]
          - command: sh -c 'echo second $$(id -u) $$PWD $$(grep CapEff /proc/self/status) >>/told/it'
            user: root
            privileged: true
        pre_stop:
          - command: sh -c 'echo stopping $$(cat /proc/1/comm) >>/told/it'
            user: root
"""
_BAD = """
    name: hooks
    services:
      web:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        volumes: ["./told:/told"]
        post_start:
          - command: sh -c 'echo one >>/told/it'
          - command: sh -c 'echo asked; test -e /told/good'
        pre_stop:
          - command: sh -c 'exit 3'
          - command: touch /told/never
      late: {image: busybox, command: sleep 1000, stop_grace_period: 0s, depends_on: [web]}
"""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    folder = tmp_path / "s" / "told"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    return folder / "it"


@pytest.fixture
def stack(shared_engine: Engine, told: Path) -> Iterator[Composed]:
    with composed(shared_engine, told.parent.parent, _STACK) as stack:
        yield stack


def test_hooks_run_in_order_as_who_and_where_they_say(stack: Composed, told: Path) -> None:
    stack.run("up", "-d")
    after_up = told.read_text().splitlines()
    stack.run("up", "-d", "--force-recreate")
    stack.run("down")

    assert after_up[0] == "first 0 /told container 1"
    assert after_up[1].startswith("second 0 /tmp CapEff: 000001ff")
    assert told.read_text().splitlines() == [*after_up, "stopping sh", *after_up, "stopping sh"]


def test_what_a_hook_prints_is_in_the_log(stack: Composed) -> None:
    stack.run("up", "-d")

    wait_until("the log has it", lambda: "first 0 /told container 1\n" in stack.logs("web"))


def test_a_failing_post_start_fails_the_command_and_runs_again_with_the_next(
    shared_engine: Engine, tmp_path: Path, told: Path
) -> None:
    with composed(shared_engine, tmp_path / "s", _BAD) as stack:
        failed = stack.run("up", "-d", status=1).err
        states = {row["Service"]: row["State"] for row in stack.rows()}
        plan = stack.run("plan").out
        (told.parent / "good").touch()
        stack.run("up", "-d")
        ran = told.read_text()
        empty = stack.run("plan").out

        assert "error[hook-failed]" in failed and "compose.yaml:11:9" in failed
        assert "hooks-web-1: sh -c echo asked; test -e /told/good ended with exit code 1" in failed
        assert states == {"web": "running", "late": "created"}
        assert "post_start has not run to its end" in plan
        assert ran == "one\none\n"
        assert "post_start" not in empty


def test_a_failing_pre_stop_is_told_and_the_container_stops_all_the_same(
    shared_engine: Engine, tmp_path: Path, told: Path
) -> None:
    (told.parent / "good").touch()
    with composed(shared_engine, tmp_path / "s", _BAD, "-d") as stack:
        stopped = stack.run("stop", "web").err

        assert "pre_stop of container hooks-web-1: sh -c exit 3 ended with exit code 3" in stopped
        assert stack.row("web")["State"] == "exited"
        assert not (told.parent / "never").exists()


@pytest.mark.changes_shared_engine
def test_a_post_start_cut_short_by_the_death_of_the_supervisor_is_run_again(
    shared_engine: Engine, tmp_path: Path, told: Path
) -> None:
    text = _BAD.replace("test -e /told/good", "touch /told/began; until test -e /told/good; do sleep 0.02; done")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        supervisor = shared_engine.pid("supervisor")
        up = stack.engine.start("up", "-d", cwd=stack.folder)
        wait_until("the command runs", (told.parent / "began").exists)
        os.kill(supervisor, signal.SIGKILL)
        wait_until("there is another supervisor", lambda: shared_engine.pid("supervisor") != supervisor)
        (told.parent / "good").touch()
        up.communicate()
        stack.run("up", "-d")

        assert told.read_text() == "one\none\n"
        assert {row["State"] for row in stack.rows()} == {"running"}
