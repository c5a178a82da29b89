"""Commands that race, and engines side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.engine import Engine, wait_until

_STACK = """\
name: raced
services:
  one: {image: busybox, command: sleep 1000, stop_grace_period: 0s, deploy: {replicas: 2}}
  two: {image: busybox, command: sleep 1000, stop_grace_period: 0s, depends_on: [one]}
"""

# In another mount namespace, whose /run is another.
_ELSEWHERE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(_STACK, encoding="utf-8")
    return tmp_path


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Engine]:
    own = Engine(tmp_path / "second")
    yield own
    own.stop()


def test_three_ups_at_once_end_with_the_stack_up_once(engine: Engine, folder: Path) -> None:
    started = [engine.start("up", "-d", cwd=folder) for _ in range(3)]

    ends = [(process.communicate(timeout=60)[0].decode(), process.returncode) for process in started]

    assert [status for _, status in ends] == [0, 0, 0], ends
    names = sorted(row["Name"] for row in engine.run("ps", "-a", "--format", "json", cwd=folder).rows())
    assert names == ["raced-one-1", "raced-one-2", "raced-two-1"]
    engine.run("plan", "--detailed-exitcode", cwd=folder)
    engine.run("down", cwd=folder)


def test_three_first_commands_at_once_start_one_engine(second: Engine) -> None:
    started = [second.start("engine", "start") for _ in range(3)]

    outputs = [process.communicate(timeout=60)[0].decode() for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert len({line for text in outputs for line in text.splitlines() if line.startswith("engine:")}) == 1
    assert len({line for text in outputs for line in text.splitlines() if "keeper" in line}) == 1


def test_engines_live_side_by_side_with_the_same_stack(
    engine: Engine, second: Engine, folder: Path, busybox_archive: Path
) -> None:
    second.run("image", "load", "-i", str(busybox_archive))
    for each in (engine, second):
        each.run("up", "-d", cwd=folder)

    engine.run("down", cwd=folder)

    assert len(second.run("ps", "-q", cwd=folder).out.split()) == 3
    assert engine.run("ps", "-a", "-q", cwd=folder).out == ""
    second.run("down", cwd=folder)


def test_a_root_in_use_by_an_engine_out_of_sight_is_refused_naming_its_process(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "root")
    with ExitStack() as undo:
        undo.callback(engine.stop)
        status = engine.run("engine", "start") and engine.status()
        live = Path(status["api"].removeprefix("unix://")).parent

        refused = engine.run("ps", status=1, under=_ELSEWHERE)

    assert "error[root-in-use]" in refused.err
    assert f"process {status['pids']['keeper']}" in refused.err
    wait_until("the folder is gone", lambda: not live.exists())
