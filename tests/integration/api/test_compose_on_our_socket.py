"""Docker's own Compose against our socket: it makes, keeps, changes and removes a stack as on a Docker engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine, Result
from tests.support.ports import free_port

# The stack lives from test to test, and its processes come and go.
pytestmark = pytest.mark.changes_shared_engine

_COMPOSE = Path(sys.executable).with_name("docker-compose")
_LABELS = """config-hash container-number depends_on image oneoff project project.config_files project.working_dir
    service version""".split()
_TEXT = """\
name: town
services:
  db:
    image: busybox
    command: sh -c "echo db ready; trap exit TERM; while :; do sleep 0.1; done"
    volumes: ["data:/data"]
    environment: {A: b}
    healthcheck: {test: ["CMD", "test", "-d", "/data"], interval: 1s, retries: 3}
  web:
    image: busybox
    command: sh -c "cat /cfg /run/secrets/sec; trap exit TERM; while :; do sleep 0.1; done"
    depends_on: {db: {condition: service_healthy}}
    ports: ["127.0.0.1:PORT:80"]
    configs: [{source: cfg, target: /cfg}]
    secrets: [sec]
volumes: {data: {}}
configs: {cfg: {content: "of the config\\n"}}
secrets: {sec: {file: ./secret.txt}}
"""


@dataclass
class _Compose:
    docker: Docker
    folder: Path

    def run(self, *arguments: str, status: int | None = 0) -> Result:
        argv = [str(_COMPOSE), *arguments]
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.docker.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        result = Result(["docker-compose", *arguments], done.returncode, done.stdout, done.stderr)
        assert status is None or result.status == status, str(result)
        return result


@pytest.fixture(scope="module")
def compose(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Compose]:
    """A stack that Docker's Compose has brought up on our engine."""
    folder = tmp_path_factory.mktemp("town")
    (folder / "compose.yaml").write_text(_TEXT.replace("PORT", str(free_port())), encoding="utf-8")
    (folder / "secret.txt").write_text("of the secret\n", encoding="utf-8")
    made = _Compose(docker, folder)
    made.run("up", "-d")
    try:
        yield made
    finally:
        made.run("down", "-v", "-t", "0", status=None)


def _ids(compose: _Compose) -> list[str]:
    return sorted(compose.docker.run("ps", "-aq", "--no-trunc").out.split())


def test_up_again_changes_nothing(compose: _Compose) -> None:
    before = _ids(compose)

    compose.run("up", "-d")

    assert _ids(compose) == before


def test_what_runs_is_seen_and_entered(compose: _Compose) -> None:
    assert "(healthy)" in compose.run("ps", "db").out
    assert "db ready" in compose.run("logs", "db").out
    logs = compose.run("logs", "--no-log-prefix", "web").out
    assert logs == "of the config\nof the secret\n"
    assert compose.run("exec", "-T", "db", "sh", "-c", "echo $A; exit 3", status=3).out == "b\n"
    assert compose.run("port", "web", "80").out.startswith("127.0.0.1:")
    assert compose.run("run", "--rm", "-T", "db", "echo", "once").out == "once\n"
    assert "town" in compose.run("ls").out


def test_our_own_command_line_sees_the_same_stack(compose: _Compose, shared_engine: Engine) -> None:
    assert str(compose.folder) in shared_engine.run("ls").out
    assert "town" in shared_engine.run("ls").out
    listed = shared_engine.run("-p", "town", "ps", "--format", "json").rows()
    assert {row["Service"] for row in listed} == {"db", "web"}


def test_a_changed_service_is_made_anew_and_others_stay(compose: _Compose) -> None:
    web = compose.docker.run("inspect", "-f", "{{.Id}}", "town-web-1").out
    file = compose.folder / "compose.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("A: b", "A: changed"), encoding="utf-8")

    compose.run("up", "-d", "-t", "0")

    assert compose.run("exec", "-T", "db", "sh", "-c", "echo $A").out == "changed\n"
    assert compose.docker.run("inspect", "-f", "{{.Id}}", "town-web-1").out == web
    assert len(_ids(compose)) == 2


def test_the_rest_of_its_life(compose: _Compose, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("copied", encoding="ascii")
    compose.run("cp", str(source), "db:/tmp/file")
    assert compose.run("exec", "-T", "db", "cat", "/tmp/file").out == "copied"
    compose.run("pause", "db")
    compose.run("unpause", "db")
    compose.run("up", "-d", "--scale", "db=2")
    assert len(_ids(compose)) == 3
    compose.run("restart", "-t", "0", "web")
    compose.run("stop", "-t", "0")
    compose.run("start")

    compose.run("down", "-v", "-t", "0")

    assert _ids(compose) == []
    assert compose.docker.run("volume", "ls", "-q").out == ""
    assert "town" not in compose.docker.run("network", "ls").out


def test_attached_it_shows_logs_until_ctrl_c(compose: _Compose) -> None:
    process = subprocess.Popen(
        [str(_COMPOSE), "up", "-t", "1"],
        cwd=compose.folder,
        env=compose.docker.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        shown = ""
        while "of the secret" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        os.kill(process.pid, signal.SIGINT)
        shown += process.stdout.read()
        assert process.wait(timeout=30) in (0, 130)
    finally:
        process.kill()
        process.stdout.close()
    assert "db ready" in shown
    assert compose.docker.run("ps", "-q").out == ""


def test_compose_sees_a_stack_that_stackctl_brought_up(docker: Docker, shared_engine: Engine, tmp_path: Path) -> None:
    text = (
        "name: ours\nservices:\n  web: {image: busybox, command: sh -c 'echo up; sleep 300', stop_grace_period: 0s}\n"
    )
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    shared_engine.run("up", "-d", cwd=tmp_path)
    compose = _Compose(docker, tmp_path)
    try:
        listed = json.loads(compose.run("ps", "--format", "json").out)
        assert (listed["Service"], listed["State"], listed["Project"]) == ("web", "running", "ours")
        assert compose.run("exec", "-T", "web", "echo", "inside").out == "inside\n"
        assert "up" in compose.run("logs", "web").out
        labels = json.loads(docker.run("inspect", "-f", "{{json .Config.Labels}}", "ours-web-1").out)
        assert set(labels) >= {f"com.docker.compose.{key}" for key in _LABELS}
    finally:
        shared_engine.run("down", cwd=tmp_path)
