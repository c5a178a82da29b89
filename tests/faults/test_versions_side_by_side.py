"""Two installations, one newer than the other, and one engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import stackctl
from stackctl.wire.protocol import PROTOCOL
from tests.support.engine import Engine, Result, kill_at_once, wait_until

pytestmark = pytest.mark.changes_shared_engine

_MAIN = "from stackctl.cli.entry import main; main()"
_STACK = "name: versions\nservices:\n  it: {image: busybox, command: sleep 1000, init: true, stop_grace_period: 0s}\n"


@dataclass(frozen=True)
class Installation:
    """A virtual environment with a copy of the package that speaks another protocol."""

    folder: Path

    @property
    def package(self) -> Path:
        """The copied package."""
        return self.folder / "package/stackctl"

    def speak(self, protocol: int) -> None:
        """Make the copy one of another version."""
        path = self.package / "wire/protocol.py"
        text = path.read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("PROTOCOL = "))
        path.write_text(text.replace(line, f"PROTOCOL = {protocol}"), encoding="utf-8")

    def run(self, engine: Engine, *arguments: str, cwd: Path, status: int | None = 0) -> Result:
        """Run the copy's ``stackctl``."""
        argv = [str(self.folder / "bin/python"), "-P", "-B", "-c", _MAIN, *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, cwd=cwd, env=engine.variables(), timeout=60, check=False
        )
        result = Result(["other stackctl", *arguments], done.returncode, done.stdout, done.stderr)
        assert status is None or result.status == status, str(result)
        return result


@pytest.fixture
def other(tmp_path: Path) -> Installation:
    """An installation of its own."""
    made = Installation(tmp_path / "other")
    venv.create(made.folder, symlinks=True)
    skip = shutil.ignore_patterns("__pycache__")
    source = Path(stackctl.__file__).parent
    shutil.copytree(source, made.package, ignore=skip)
    shutil.copytree(source.parent / "schemas", made.package / "schemas", dirs_exist_ok=True)
    (site,) = made.folder.glob("lib/python*/site-packages")
    # What the package needs comes from here; of a path in such a file, no further ones are read.
    lines = f"{made.package.parent}\n{sysconfig.get_path('purelib')}\n"
    (site / "other.pth").write_text(lines, encoding="utf-8")
    return made


@pytest.fixture
def newer(engine: Engine, other: Installation, tmp_path: Path) -> Iterator[Installation]:
    """An installation that is about to become a newer one, and stops the engine in the end: nobody else may."""
    yield other
    other.run(engine, "engine", "stop", "--force", cwd=tmp_path, status=None)


def _up(engine: Engine, tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(_STACK, encoding="utf-8")
    engine.run("up", "-d", cwd=tmp_path)
    return tmp_path


def _containers(result: Result) -> list[tuple[str, str]]:
    return [(row["ID"], row["State"]) for row in result.rows()]


def _pids(engine: Engine) -> Mapping[str, int]:
    found: dict[str, int] = engine.status()["pids"]
    return found


def _spawn(engine: Engine) -> dict[str, Any]:
    shape: dict[str, Any] = json.loads((engine.root / "spawn.json").read_text(encoding="utf-8"))
    return shape


def test_an_older_command_is_told_that_the_engine_is_newer_and_changes_nothing(
    shared_engine: Engine, other: Installation, tmp_path: Path
) -> None:
    folder = _up(shared_engine, tmp_path)
    before = _pids(shared_engine)
    other.speak(PROTOCOL - 1)

    for command in (("ps",), ("down",), ("up", "-d", "--force-recreate"), ("engine", "restart"), ("engine", "stop")):
        refused = other.run(shared_engine, *command, cwd=folder, status=1)
        assert "error[protocol-version]" in refused.err, str(refused)
        assert "newer than this stackctl" in refused.err, str(refused)
        assert _spawn(shared_engine)["daemon"][0] in refused.err, str(refused)
        assert "Traceback" not in refused.err, str(refused)

    assert _pids(shared_engine) == before
    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    shared_engine.run("down", cwd=folder)


def test_a_newer_command_brings_an_older_engine_along_and_containers_do_not_notice(
    engine: Engine, newer: Installation, tmp_path: Path
) -> None:
    folder = _up(engine, tmp_path)
    containers = _containers(engine.run("ps", "--format", "json", cwd=folder))
    before = _pids(engine)
    newer.speak(PROTOCOL + 1)

    shown = newer.run(engine, "ps", "--format", "json", cwd=folder)

    assert _containers(shown) == containers
    after = newer.run(engine, "engine", "status", "--format", "json", cwd=folder).json()
    assert after["protocol"] == PROTOCOL + 1
    assert after["pids"]["keeper"] == before["keeper"]
    assert after["pids"]["supervisor"] != before["supervisor"]
    assert after["pids"]["daemon"] != before["daemon"]
    assert _spawn(engine)["daemon"][0] == str(newer.folder / "bin/python")
    newer.run(engine, "plan", "--detailed-exitcode", cwd=folder)
    assert newer.run(engine, "exec", "-T", "it", "echo", "here", cwd=folder).out == "here\n"
    newer.run(engine, "down", cwd=folder)


def test_a_daemon_that_comes_back_newer_takes_its_supervisor_along(
    engine: Engine, newer: Installation, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(_STACK, encoding="utf-8")
    engine.run("engine", "stop")
    newer.run(engine, "up", "-d", cwd=tmp_path)
    containers = _containers(newer.run(engine, "ps", "--format", "json", cwd=tmp_path))
    before = _pids(engine)
    newer.speak(PROTOCOL + 1)

    kill_at_once([before["daemon"]])

    shown = newer.run(engine, "ps", "--format", "json", cwd=tmp_path)
    assert _containers(shown) == containers
    status = newer.run(engine, "engine", "status", "--format", "json", cwd=tmp_path).json()
    assert status["protocol"] == PROTOCOL + 1
    assert status["pids"]["supervisor"] != before["supervisor"]
    newer.run(engine, "down", cwd=tmp_path)


def test_engine_restart_replaces_daemon_and_supervisor_alone(shared_engine: Engine, tmp_path: Path) -> None:
    folder = _up(shared_engine, tmp_path)
    containers = _containers(shared_engine.run("ps", "--format", "json", cwd=folder))
    before = _pids(shared_engine)

    shared_engine.run("engine", "restart")

    after = wait_until("both are back", lambda: _pids(shared_engine))
    assert after["keeper"] == before["keeper"]
    assert after["supervisor"] != before["supervisor"] and after["daemon"] != before["daemon"]
    assert _containers(shared_engine.run("ps", "--format", "json", cwd=folder)) == containers
    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    shared_engine.run("down", cwd=folder)
