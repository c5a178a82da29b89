"""kill -9 while something is under way: a command, a process in a container, an exit, fifty containers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.client.engine_client import EngineClient
from stackctl.engines.start import ensure_engine
from tests.support.engine import Engine, end, kill_at_once, wait_until
from tests.support.leaks import wait_for_no_leftovers

pytestmark = pytest.mark.changes_shared_engine

_ENDER = """\
name: flight
services:
  ender:
    image: busybox
    command: sh -c 'while [ ! -e /shared/go ]; do sleep 0.05; done; exit 7'
    volumes: ["./shared:/shared"]
    stop_grace_period: 0s
"""
_FIFTY = """\
name: fifty
services:
  many: {image: busybox, command: sleep 1000, stop_grace_period: 0s, deploy: {replicas: 50}}
"""


def _pids(engine: Engine) -> dict[str, int]:
    client = EngineClient(ensure_engine(engine.variables()))
    return {entry["Id"]: client.inspect_container(entry["Id"])["State"]["Pid"] for entry in client.containers()}


def _folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "shared").mkdir()
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_an_exec_goes_on_without_the_supervisor_and_its_code_is_known(shared_engine: Engine, tmp_path: Path) -> None:
    folder = _folder(tmp_path, _ENDER)
    shared_engine.run("up", "-d", cwd=folder)
    script = "echo begun; while [ ! -e /shared/on ]; do sleep 0.05; done; echo over; exit 3"
    process = shared_engine.start("exec", "-T", "ender", "sh", "-c", script, cwd=folder)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"

    kill_at_once([shared_engine.pid("supervisor")])
    (folder / "shared/on").touch()

    assert process.communicate(timeout=30)[0] == b"over\n"
    assert process.returncode == 3
    shared_engine.run("down", cwd=folder)


def test_an_exit_that_nobody_but_the_keeper_saw_has_its_code(shared_engine: Engine, tmp_path: Path) -> None:
    folder = _folder(tmp_path, _ENDER)
    shared_engine.run("up", "-d", cwd=folder)
    pids = shared_engine.status()["pids"]

    kill_at_once([pids["supervisor"], pids["daemon"]])
    (folder / "shared/go").touch()

    (row,) = wait_until(
        "it has ended",
        lambda: [
            row
            for row in shared_engine.run("ps", "-a", "--format", "json", cwd=folder).rows()
            if row["State"] == "exited"
        ],
    )
    assert row["ExitCode"] == 7
    shared_engine.run("down", cwd=folder)


@pytest.mark.parametrize("roles", [(), ("supervisor",), ("daemon",), ("keeper", "supervisor", "daemon")], ids=str)
def test_an_up_of_fifty_that_is_cut_short_ends_the_same_with_one_more(
    shared_engine: Engine, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    folder = _folder(tmp_path, _FIFTY)
    pids = shared_engine.status()["pids"]
    command = shared_engine.start("up", "-d", cwd=folder)
    wait_until("some run", lambda: len(_pids(shared_engine)) > 5)
    before = _pids(shared_engine)

    end(command)
    kill_at_once([pids[role] for role in roles])
    shared_engine.run("up", "-d", cwd=folder)

    after = _pids(shared_engine)
    assert len(after) == 50
    assert before.items() <= after.items(), "a container died, or was started twice"
    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    shared_engine.run("down", cwd=folder)


_TWO_SPEEDS = """\
name: leaving
services:
  quick: {image: busybox, command: sleep 1000, stop_grace_period: 0s, deploy: {replicas: 10}}
  slow: {image: busybox, command: sleep 1000, stop_grace_period: 2s, deploy: {replicas: 10}, volumes: ["data:/data"]}
volumes: {data: {}}
"""


@pytest.mark.parametrize(
    "roles", [(), ("supervisor",), ("daemon",), ("keeper",), ("keeper", "supervisor", "daemon")], ids="+".join
)
def test_a_down_that_is_cut_short_is_ended_by_one_more(
    shared_engine: Engine, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    folder = _folder(tmp_path, _TWO_SPEEDS)
    shared_engine.run("up", "-d", cwd=folder)
    pids = shared_engine.status()["pids"]
    client = EngineClient(ensure_engine(shared_engine.variables()))
    command = shared_engine.start("down", "-v", cwd=folder)
    wait_until("the quick ones are gone, the slow ones are not", lambda: len(client.containers()) == 10)

    end(command)
    kill_at_once([pids[role] for role in roles])
    shared_engine.run("down", "-v", "-t", "0", cwd=folder)

    assert shared_engine.run("ps", "-a", "-q", cwd=folder).out == ""
    assert shared_engine.run("volumes", "-q", cwd=folder).out == ""
    assert wait_for_no_leftovers(shared_engine.root) == []
