"""An `up` of which nothing has changed is answered from its receipt; whatever could change the plan makes it void."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine import Engine, wait_until
from tests.support.images import busybox_root_tar

_STACK = """\
name: kept
services:
  web:
    image: busybox
    command: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
    environment: {A: "${A:-one}", FROM_ENV_FILE: "${B:-}"}
    env_file: [{path: extra.env, required: false}]
    secrets: [token]
secrets:
  token: {file: token.txt}
"""
_LABEL = "services: {web: {labels: {x: y}}}\n"
_SCRIPT = """
import os, sys
leave = os._exit
def tell(status):
    print(*sorted(sys.modules), file=sys.stderr, flush=True)
    leave(status)
os._exit = tell
from stackctl.cli.entry import main
main()
"""


class Stack:
    """A stack in a folder, and the command that brings it up."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.reset()

    def reset(self) -> None:
        for name in ("extra.env", ".env", "compose.override.yaml", "other.yaml"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "compose.yaml").write_text(_STACK, encoding="utf-8")
        (self.folder / "token.txt").write_text("secret", encoding="utf-8")

    def modules(self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> set[str]:
        """Run a command, and return what it imported."""
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *arguments],
            cwd=cwd or self.folder,
            env=self.engine.variables(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return set(done.stderr.splitlines()[-1].split())

    def is_answered_at_once(self, *arguments: str, **where: Path | Mapping[str, str]) -> bool:
        return "stackctl.cli.plain" not in self.modules(*(arguments or ("up", "-d")), **where)  # type: ignore[arg-type]

    def run(self, *arguments: str) -> str:
        return self.engine.run(*arguments, cwd=self.folder).out


@pytest.fixture(scope="module")
def kept(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield Stack(shared_engine, tmp_path_factory.mktemp("stack"))


@pytest.fixture
def stack(kept: Stack) -> Iterator[Stack]:
    """The stack, up, with a receipt that holds."""
    kept.reset()
    kept.run("up", "-d")
    assert kept.is_answered_at_once()
    yield kept
    kept.reset()
    kept.run("down")


def test_the_answer_is_that_of_the_full_path(stack: Stack) -> None:
    quick = stack.engine.run("up", "-d", cwd=stack.folder)
    whole = stack.engine.run("up", "-d", cwd=stack.folder, env={"STACKCTL_NO_RECEIPT": "1"})

    assert (quick.out, quick.err) == (whole.out, whole.err)
    assert "kept-web-1  Running" in quick.err


def test_the_answer_costs_no_import_beyond_the_gate(stack: Stack) -> None:
    modules = stack.modules("up", "-d")

    assert {name for name in modules if name.startswith("stackctl")} == {
        "stackctl",
        "stackctl.cli",
        "stackctl.cli.entry",
        "stackctl.cli.receipt",
    }
    assert not modules & {"click", "json", "typing", "hashlib", "socket", "dataclasses"}


def _append(name: str, text: str) -> Callable[[Stack], None]:
    def act(stack: Stack) -> None:
        with open(stack.folder / name, "a", encoding="utf-8") as file:
            file.write(text)

    return act


def _write(name: str, text: str) -> Callable[[Stack], None]:
    def act(stack: Stack) -> None:
        (stack.folder / name).write_text(text, encoding="utf-8")

    return act


def _run(*arguments: str) -> Callable[[Stack], None]:
    def act(stack: Stack) -> None:
        # Some of these have nothing to do, or refuse, after others.
        stack.engine.run(*arguments, cwd=stack.folder, status=None)

    return act


def _retag(stack: Stack) -> None:
    stack.run("image", "import", str(_tar(stack)), "somethingelse:latest")


def _tar(stack: Stack) -> Path:
    return busybox_root_tar(stack.folder / "root.tar", {"etc/other": os.urandom(8)})


def _network_of_somebody(stack: Stack) -> None:
    other = stack.folder / "other.yaml"
    other.write_text("name: other\nservices: {a: {image: busybox, command: 'true'}}\n", encoding="utf-8")
    stack.run("-f", "other.yaml", "up", "-d")
    stack.run("-f", "other.yaml", "down")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_append("compose.yaml", "# a comment\n"), id="a stack file changed"),
        pytest.param(_append("token.txt", "!"), id="a secret's file changed"),
        pytest.param(_append("extra.env", "C=1\n"), id="an env_file appeared"),
        pytest.param(_append(".env", "B=2\n"), id="a .env file appeared"),
        pytest.param(
            _append("compose.override.yaml", "services: {web: {labels: {x: y}}}\n"), id="an override appeared"
        ),
        pytest.param(_run("kill", "web"), id="a container was killed"),
        pytest.param(_run("stop"), id="the stack was stopped"),
        pytest.param(_run("down"), id="the stack was taken down"),
        pytest.param(_run("restart"), id="a container was restarted"),
        pytest.param(_run("run", "--rm", "-T", "web", "true"), id="a one-off came and went"),
        pytest.param(_run("up", "-d", "--scale", "web=2"), id="somebody scaled it"),
        pytest.param(_retag, id="an image came"),
        pytest.param(_network_of_somebody, id="networks came and went"),
    ],
)
def test_a_receipt_does_not_outlive(stack: Stack, change: Callable[[Stack], None]) -> None:
    change(stack)

    assert not stack.is_answered_at_once()


@pytest.mark.parametrize("role", ["supervisor", "daemon"])
def test_a_receipt_does_not_outlive_a_process_of_the_engine(engine: Engine, tmp_path: Path, role: str) -> None:
    (tmp_path / "stack").mkdir()
    stack = Stack(engine, tmp_path / "stack")
    stack.run("up", "-d")
    assert stack.is_answered_at_once()

    killed = engine.pid(role)
    os.kill(killed, signal.SIGKILL)
    wait_until(f"another {role} runs", lambda: _pid(engine, role) not in (0, killed))

    assert not stack.is_answered_at_once()


def _pid(engine: Engine, role: str) -> int:
    """Return a process's id, 0 while the engine does not answer."""
    shown = engine.run("engine", "status", "--format", "json", status=None)
    return int(shown.json()["pids"][role]) if shown.status == 0 else 0


def test_a_container_that_dies_by_itself_voids_the_receipt(stack: Stack) -> None:
    # The command may be killed with the container before it has ended itself.
    stack.engine.run("exec", "-T", "web", "sh", "-c", "kill -TERM 1", cwd=stack.folder, status=None)
    wait_until("the container has ended", lambda: stack.run("ps", "-q") == "")

    assert not stack.is_answered_at_once()
    assert stack.run("ps", "-q") != ""


def test_a_variable_the_stack_names_must_be_as_before(stack: Stack) -> None:
    assert not stack.is_answered_at_once(env={"A": "two"})
    assert not stack.is_answered_at_once(env={})


def test_a_variable_of_the_command_line_must_be_as_before(stack: Stack) -> None:
    assert not stack.is_answered_at_once(env={"COMPOSE_REMOVE_ORPHANS": "1"})


def test_a_variable_nobody_names_does_not_matter(stack: Stack) -> None:
    assert stack.is_answered_at_once(env={"OTHER": "1"})


def test_another_command_has_another_receipt(stack: Stack) -> None:
    assert not stack.is_answered_at_once("up", "-d", "web")
    assert stack.is_answered_at_once("up", "-d", "web")
    assert stack.is_answered_at_once("up", "-d")


def test_another_folder_has_another_receipt(stack: Stack) -> None:
    below = stack.folder / "below"
    below.mkdir(exist_ok=True)

    assert not stack.is_answered_at_once(cwd=below)
    assert stack.is_answered_at_once(cwd=below)


def test_what_another_stack_does_does_not_matter(stack: Stack) -> None:
    other = stack.folder / "other.yaml"
    other.write_text(
        "name: other\nservices: {a: {image: busybox, command: 'true', network_mode: none}}\n", encoding="utf-8"
    )
    stack.run("-f", "other.yaml", "up", "-d")
    stack.run("-f", "other.yaml", "down")

    assert stack.is_answered_at_once()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("services: {web: {image: busybox, command: sleep 9, pull_policy: always}}\n", id="always pulled"),
        pytest.param("services: {web: {image: busybox, command: sleep 9, build: .}}\n", id="built"),
    ],
)
def test_there_is_no_receipt_for(kept: Stack, text: str) -> None:
    (kept.folder / "remote.yaml").write_text("name: remote\n" + text, encoding="utf-8")
    again = [kept.engine.run("-f", "remote.yaml", "up", "-d", cwd=kept.folder, status=None) for _ in range(2)][1]
    receipts = _receipts(kept)
    kept.engine.run("-p", "remote", "down", "-t", "0", cwd=kept.folder)

    assert not any(b"\0remote\0" in text for text in receipts), str(again)


def test_there_is_no_receipt_for_standard_input(kept: Stack) -> None:
    text = "name: typed\nservices: {web: {image: busybox, command: sleep 9}}\n"
    kept.engine.run("-f", "-", "up", "-d", stdin=text, cwd=kept.folder)
    kept.engine.run("-f", "-", "up", "-d", stdin=text, cwd=kept.folder)
    receipts = _receipts(kept)
    kept.engine.run("-p", "typed", "down", "-t", "0", cwd=kept.folder)

    assert not any(b"\0typed\0" in text for text in receipts)


def _receipts(stack: Stack) -> list[bytes]:
    run = Path("/run/stackctl") / (stack.engine.root / "engine-id").read_text(encoding="ascii").strip()
    return [path.read_bytes() for path in run.glob("receipt-*")]


_CHANGES: Mapping[str, Callable[[Stack], None]] = {
    "comment": _append("compose.yaml", "# a comment\n"),
    "label": _write("compose.override.yaml", _LABEL),
    "variable": _append(".env", "B=3\n"),
    "secret": _append("token.txt", "!"),
    "reset": Stack.reset,
    "up": _run("up", "-d"),
    "stop": _run("stop"),
    "start": _run("start"),
    "kill": _run("kill"),
    "scale": _run("up", "-d", "--scale", "web=2"),
    "down": _run("down"),
    "image": _retag,
}


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(_CHANGES)), min_size=1, max_size=3))
def test_an_answer_from_a_receipt_means_that_the_plan_is_empty(kept: Stack, changes: list[str]) -> None:
    kept.reset()
    kept.run("up", "-d")
    for change in changes:
        _CHANGES[change](kept)

    planned = kept.engine.run("plan", "--detailed-exitcode", cwd=kept.folder, status=None)
    if kept.is_answered_at_once():
        assert planned.status == 0, f"after {changes}:\n{planned}"
    kept.reset()
    kept.run("down")
