"""A build whose daemon is killed leaves nothing half made, and the next one goes on where it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.engine import Engine, wait_until
from tests.support.store import kept

COMPOSE = "name: killed\nservices:\n  it: {build: .}\n"
STEPS = "FROM busybox\nRUN echo one >/one\nRUN echo began && {command}\n"


def test_a_killed_build_leaves_nothing_and_the_next_goes_on_where_it_was(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    (folder / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    (folder / "Dockerfile").write_text(STEPS.format(command="sleep 1000"), encoding="utf-8")
    daemon = engine.pid("daemon")
    build = engine.start("build", cwd=folder)
    assert build.stdout is not None
    while b"| began" not in (line := build.stdout.readline()):
        assert line, "the build ended"
    os.kill(daemon, signal.SIGKILL)
    build.wait(30)
    build.stdout.close()
    wait_until("another daemon", lambda: engine.pid("daemon") != daemon)
    wait_until(
        "no container of the build",
        lambda: not engine.status()["containers"]["total"],
    )
    assert kept(engine.root)["tmp"] == []

    (folder / "Dockerfile").write_text(STEPS.format(command="true"), encoding="utf-8")
    again = engine.run("build", cwd=folder).err
    assert "RUN echo one >/one  (cached)" in again
    assert "Image killed-it  Built" in again
    assert "killed-it" in engine.run("image", "ls").out
