"""A reboot: the live part is gone, the boot id is another, nothing runs. Simulated by taking all that away."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from stackctl.client.engine_client import EngineClient
from stackctl.engines.start import ensure_engine
from tests.support.engine import Engine, kill_at_once, wait_until

pytestmark = pytest.mark.changes_shared_engine

_STACK = """\
name: boots
services:
  base:
    image: busybox
    command: sh -c 'sleep 0.3; touch /tmp/ready; exec sleep 1000'
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 1s}
    restart: unless-stopped
    stop_grace_period: 0s
  once:
    image: busybox
    command: "true"
    depends_on: {base: {condition: service_healthy}}
  top:
    image: busybox
    command: sleep 1000
    restart: always
    stop_grace_period: 0s
    depends_on: {base: {condition: service_healthy}, once: {condition: service_completed_successfully}}
  plain:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
  stopped:
    image: busybox
    command: sleep 1000
    restart: unless-stopped
    stop_grace_period: 0s
"""


def _reboot(engine: Engine) -> None:
    """Let everything of the engine that does not survive a reboot vanish."""
    status = engine.status()
    live = Path(status["api"].removeprefix("unix://")).parent
    # Rows of this boot become rows of another.
    pids = [status["pids"][role] for role in ("keeper", "supervisor", "daemon")]
    inits = [shape["State"]["Pid"] for shape in _inspect(engine).values()]
    kill_at_once(pids)
    kill_at_once([pid for pid in inits if pid])
    for pid in inits:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL) if pid else None
    shutil.rmtree(live)
    with closing(sqlite3.connect(engine.root / "supervisor.db")) as database:
        database.execute("UPDATE container SET boot = 'another boot'")
        database.commit()


def _inspect(engine: Engine) -> dict[str, Any]:
    client = EngineClient(ensure_engine(engine.variables()))
    shapes = [client.inspect_container(entry["Id"]) for entry in client.containers(all=True)]
    return {shape["Name"].removeprefix("/boots-").removesuffix("-1"): shape for shape in shapes}


@pytest.fixture
def stack(engine: Engine, tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(_STACK, encoding="utf-8")
    engine.run("up", "-d", "--wait", cwd=tmp_path)
    engine.run("stop", "stopped", cwd=tmp_path)
    return tmp_path


def _running(engine: Engine) -> set[str]:
    return {name for name, shape in _inspect(engine).items() if shape["State"]["Running"]}


def test_after_a_reboot_policies_bring_back_by_the_graph_and_up_the_rest(engine: Engine, stack: Path) -> None:
    before = _inspect(engine)

    _reboot(engine)
    wait_until("what has a policy runs again", lambda: _running(engine) == {"base", "top"})
    after = _inspect(engine)
    plain = after["plain"]["State"]
    engine.run("up", "-d", "--wait", cwd=stack)

    assert after["base"]["Id"] == before["base"]["Id"]
    assert (plain["Status"], plain["ExitCode"], plain["Error"]) == ("exited", 255, "the machine was restarted")
    assert after["top"]["State"]["StartedAt"] > after["base"]["State"]["StartedAt"]
    assert after["base"]["State"]["Health"]["Status"] == "healthy"
    assert after["once"]["State"]["StartedAt"] == before["once"]["State"]["StartedAt"]
    assert _running(engine) == {"base", "top", "plain", "stopped"}
    engine.run("plan", "--detailed-exitcode", cwd=stack)
    engine.run("down", "-v", cwd=stack)


def test_what_an_engine_stopped_with_itself_comes_back_with_it(engine: Engine, stack: Path) -> None:
    # Again and again: a start right after a stop once took the leaving engine for one about to come back.
    for _ in range(6):
        engine.run("engine", "stop", "--force")
        assert engine.run("engine", "status", status=1).out == "The engine is not running\n"
        engine.run("engine", "start")

    wait_until("what has a policy runs again", lambda: _running(engine) == {"base", "top"})
    engine.run("down", "-v", cwd=stack)
