"""What is said when something goes wrong while a stack comes up, word for word."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import BUSYBOX, Stack, free_port

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


@pytest.fixture(scope="module")
def port() -> int:
    """A port that is free to begin with."""
    return free_port()


def fails(stack: Stack, text: str, *arguments: str) -> str:
    """Bring up a stack file that cannot come up; return what is said from the error on."""
    stack.file.write_text(f"name: {stack.name}\n{text}", encoding="utf-8")
    result = stack.run("up", "-d", *arguments, status=1)
    assert result.out == ""
    return result.err[result.err.index("error[") :].replace(stack.name, "it")


@pytest.fixture
def listener(port: int) -> Iterator[socket.socket]:
    """A socket of the test's own that holds the port."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()
        yield sock


def _published(port: int) -> str:
    return f"""\
services:
  web:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    ports:
      - "8000"
      - "127.0.0.1:{port}:80"
"""


@pytest.mark.usefixtures("listener")
def test_a_port_that_a_process_holds(stack: Stack, port: int) -> None:
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()

    assert (
        fails(stack, _published(port))
        == f"""\
error[port-taken]: Host port is already in use
  --> compose.yaml:9:9
    9 |       - "127.0.0.1:{port}:80"
      |         {"^" * (len(str(port)) + 15)}
127.0.0.1:{port} is held by pid {os.getpid()} ({name})
hint: free the port, or publish on another one
"""
    )


def test_a_port_that_a_container_holds(stack: Stack, port: int) -> None:
    stack.file.write_text(f"name: {stack.name}\n{_published(port)}", encoding="utf-8")
    stack.run("up", "-d")

    result = stack.run("-p", "second", "up", "-d", status=1)
    stack.run("-p", "second", "down")

    assert f"127.0.0.1:{port} is held by container {stack.name}-web-1\n" in result.err


def test_a_command_that_the_image_does_not_have(stack: Stack) -> None:
    text = "services:\n  web:\n    image: busybox\n    command: nothing --here\n"

    assert (
        fails(stack, text)
        == """\
error[command-not-found]: Command not found in the image
  --> compose.yaml:5:5
    5 |     command: nothing --here
      |     ^^^^^^^
container it-web-1 cannot be started: command not found in the image: nothing
hint: check command and entrypoint, and that the image holds the program and its interpreter
"""
    )


def test_a_dependency_that_stays_unhealthy(stack: Stack) -> None:
    text = """\
services:
  db:
    image: busybox
    command: sh -c 'echo starting; echo out of luck >&2; sleep 1000'
    stop_grace_period: 0s
    healthcheck: {test: "echo no answer; exit 1", interval: 100ms, retries: 2}
  web:
    image: busybox
    command: sleep 1000
    depends_on:
      db: {condition: service_healthy}
"""

    assert (
        fails(stack, text)
        == """\
error[health-never-reached]: Service did not become healthy
  --> compose.yaml:12:7
   12 |       db: {condition: service_healthy}
      |       ^^
container it-db-1 is unhealthy (last probe exited 1: no answer)
it-db-1 wrote last:
  starting
  out of luck
"""
    )


def test_a_one_shot_that_fails(stack: Stack) -> None:
    text = """\
services:
  job:
    image: busybox
    command: sh -c 'seq 9; echo no such table >&2; exit 3'
  web:
    image: busybox
    command: sleep 1000
    depends_on:
      job: {condition: service_completed_successfully}
"""

    assert (
        fails(stack, text)
        == """\
error[dependency-failed]: One-shot service failed
  --> compose.yaml:10:7
   10 |       job: {condition: service_completed_successfully}
      |       ^^^
container it-job-1 didn't complete successfully: exit 3
it-job-1 wrote last:
  6
  7
  8
  9
  no such table
"""
    )
    assert stack.states()[f"{stack.name}-web-1"] == "created"


def test_a_dependency_that_ends_before_it_is_healthy(stack: Stack) -> None:
    text = """\
services:
  db:
    image: busybox
    command: sh -c 'echo disk full; exit 9'
    healthcheck: {test: "true", interval: 10s, start_interval: 10s}
  web: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_healthy}}}
"""
    said = fails(stack, text)

    assert said.startswith("error[dependency-exited]: Service ended before it was healthy\n  --> compose.yaml:7:")
    assert "\ncontainer it-db-1 exited (9) before it was healthy\nit-db-1 wrote last:\n  disk full\n" in said


def test_waiting_ends_after_the_time_given(stack: Stack) -> None:
    text = """\
services:
  db:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    healthcheck: {test: "false", interval: 1s, retries: 100}
"""
    assert (
        fails(stack, text, "--wait", "--wait-timeout", "0.5")
        == """\
error[wait-timeout]: Waited too long
  --> compose.yaml:7:5
    7 |     healthcheck: {test: "false", interval: 1s, retries: 100}
      |     ^^^^^^^^^^^
it-db-1 not healthy after 0.5 s
"""
    )


def test_what_restarts_again_and_again_is_told_of_while_it_is_waited_for(stack: Stack) -> None:
    text = """\
services:
  web:
    image: busybox
    command: sh -c 'echo no config; exit 4'
    restart: always
    healthcheck: {test: "true", interval: 1s}
"""
    stack.file.write_text(f"name: {stack.name}\n{text}", encoding="utf-8")
    said = stack.run("up", "--wait", "--wait-timeout", "1", status=1).err.replace(stack.name, "it")

    assert "waiting: it-web-1 ended with 4, restart 2\n" in said
    assert "\nit-web-1 not healthy after 1 s\nit-web-1 wrote last:\n  no config\n" in said


def test_with_wait_a_service_that_ends_at_once_is_a_failure(stack: Stack) -> None:
    # It ends after it was seen to run, and before the other service lets the wait end.
    text = """\
services:
  web:
    image: busybox
    command: sh -c 'sleep 1; echo no config; exit 4'
  other:
    image: busybox
    command: sh -c 'sleep 2; touch /tmp/ready; exec sleep 1000'
    stop_grace_period: 0s
    healthcheck: {test: "test -e /tmp/ready", interval: 200ms, retries: 1000}
"""

    assert (
        fails(stack, text, "--wait")
        == """\
error[service-exited]: container it-web-1 exited (4) after it was started
it-web-1 wrote last:
  no config
hint: `stackctl logs web` shows all of it
"""
    )


def test_with_wait_a_service_that_ends_with_success_is_a_failure_unless_others_wait_for_that(stack: Stack) -> None:
    # It ends at once, or after it was seen to run.
    text = """\
services:
  job: {image: busybox, command: "true"}
  web:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {job: {condition: service_CONDITION}}
"""
    stack.file.write_text(f"name: {stack.name}\n" + text.replace("CONDITION", "completed_successfully"))
    stack.run("up", "-d", "--wait")
    stack.run("stop")
    stack.run("start", "--wait")

    said = fails(stack, text.replace("CONDITION", "started"), "--wait")
    assert "container it-job-1 exited (0)" in said
    assert said.endswith("condition: service_completed_successfully\n")


def test_start_waits_until_all_are_healthy(stack: Stack) -> None:
    stack.write(
        {
            "web": {
                **BUSYBOX,
                "command": ["sh", "-c", "rm -f /tmp/ready; sleep 0.5; touch /tmp/ready; exec sleep 1000"],
                "healthcheck": {"test": "test -e /tmp/ready", "interval": "100ms", "retries": 1000},
            },
            "job": {**BUSYBOX, "command": "sh -c 'sleep 0.3; exit 3'"},
        }
    )
    stack.run("create")

    stack.run("start", "--wait", "web")
    assert [row["Health"] for row in stack.run("ps", "--format", "json").rows()] == ["healthy"]
    assert "exited (3)" in stack.run("start", "--wait", status=1).err
    stack.run("stop")
    assert "not healthy after 0.1 s" in stack.run("start", "--wait", "--wait-timeout", "0.1", "web", status=1).err


def test_up_says_what_it_waits_for_while_it_waits(stack: Stack) -> None:
    stack.file.write_text(
        f"""\
name: {stack.name}
services:
  db:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    healthcheck: {{test: "test -e /tmp/ready", interval: 100ms, retries: 1000}}
  web:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {{db: {{condition: service_healthy}}}}
""",
        encoding="utf-8",
    )
    with stack.terminal("up", "-d") as terminal:
        terminal.read_until("waiting for db to be healthy, which web needs (0s)")
        terminal.read_until("waiting for db to be healthy, which web needs (1s)")
        stack.run("exec", "-T", "db", "touch", "/tmp/ready")

        assert terminal.wait() == 0


def _as(who: tuple[str, ...], engine: Engine, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = [*who, str(Path(sys.executable).with_name("stackctl")), *arguments]
    return subprocess.run(
        argv, env=engine.variables(variables), cwd="/", capture_output=True, text=True, timeout=60, check=False
    )


def test_who_is_not_root_is_told_so(resident: Engine) -> None:
    done = _as(NOBODY, resident, "-p", "x", "engine", "start", STACKCTL_ROOT="/tmp/of-nobody")

    assert done.stderr == (
        "error[missing-privilege]: the built-in engine needs root to make namespaces, mounts and networks\n"
        "hint: run the command with sudo\n"
    )
    assert done.returncode == 1
    assert not Path("/tmp/of-nobody").exists()


@pytest.mark.parametrize("capability", ["sys_admin", "net_admin"])
def test_a_missing_capability_is_named(resident: Engine, capability: str) -> None:
    without = ("setpriv", "--bounding-set", f"-{capability}", "--inh-caps", f"-{capability}")

    done = _as(without, resident, "engine", "start", STACKCTL_ROOT="/tmp/of-nobody")

    assert done.stderr.startswith(
        f"error[missing-privilege]: the built-in engine needs CAP_{capability.upper()}, which this process lacks\n"
    )
    assert not Path("/tmp/of-nobody").exists()


@pytest.mark.parametrize(
    ("root", "reason"),
    [("/proc/none", "No such file or directory: /proc/none"), ("/etc/passwd/x", "Not a directory: /etc/passwd/x")],
)
def test_a_state_root_that_cannot_be_used(resident: Engine, root: str, reason: str) -> None:
    result = resident.run("engine", "start", env={"STACKCTL_ROOT": root}, status=1)

    assert result.err == (
        f"error[state-root]: the state root {root} cannot be used: {reason}\n"
        "hint: set STACKCTL_ROOT to a folder on a writable local file system\n"
    )


def test_an_engine_that_does_not_answer_is_given_up(resident: Engine, stack: Stack) -> None:
    stack.file.write_text("services: {web: {image: busybox, command: sleep 1000}}", encoding="utf-8")
    status = resident.status()
    daemon = status["pids"]["daemon"]
    os.kill(daemon, signal.SIGSTOP)
    try:
        results = [stack.run(*words, status=1, env={"STACKCTL_TIMEOUT": "0.3"}) for words in (("ps",), ("plan",))]
    finally:
        os.kill(daemon, signal.SIGCONT)

    address = status["api"].removeprefix("unix://")
    for result in results:
        assert result.err == (
            f"error[engine-silent]: the engine at {address} is there but does not answer\n"
            f"hint: end its daemon, it is brought back and containers go on: kill -9 {daemon}\n"
        )
