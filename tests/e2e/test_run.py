"""`run`: one-off containers."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine
from tests.support.stack import BUSYBOX, FOREVER, Stack, free_port, stack_in


@pytest.fixture(scope="module")
def tools(resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a service ``tool``; only its network is there."""
    with stack_in(resident, tmp_path_factory.mktemp("run"), "run") as stack:
        _write(stack)
        stack.run("run", "--rm", "tool")  # makes the network, which stays
        yield stack


def _write(stack: Stack) -> None:
    stack.write(
        {
            "tool": {
                **BUSYBOX,
                "command": "echo the command of the file",
                "environment": {"FROM_FILE": "yes"},
                "ports": [f"127.0.0.1:{free_port()}:80"],
                "restart": "always",
            },
            "needy": {**BUSYBOX, "command": "echo ready", "depends_on": {"db": {"condition": "service_healthy"}}},
            "db": {**FOREVER, "healthcheck": {"test": ["CMD", "true"], "interval": "1s"}},
        }
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("no-such-command",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_run_exits_as_the_command_does_and_rm_leaves_nothing(
    tools: Stack, command: tuple[str, ...], status: int
) -> None:
    tools.run("run", "--rm", "tool", *command, status=status)

    assert tools.states() == {}


def test_without_a_command_the_services_own_runs(tools: Stack) -> None:
    result = tools.run("run", "--rm", "tool")

    assert result.out == "the command of the file\n"


def test_only_what_the_command_writes_is_on_standard_output(tools: Stack) -> None:
    result = tools.run("run", "--rm", "tool", "sh", "-c", "echo data; echo trouble >&2")

    assert result.out == "data\n"
    assert result.err.endswith("trouble\n")


def test_standard_input_arrives_and_ends(tools: Stack) -> None:
    typed = os.urandom(3_000_000)

    result = tools.run("run", "--rm", "-T", "tool", "sha256sum", stdin=typed)

    assert result.out.split()[0] == hashlib.sha256(typed).hexdigest()


def test_a_container_that_stays_is_listed_as_a_one_off(tools: Stack) -> None:
    tools.run("run", "tool", "true")

    (name,) = tools.states()
    assert re.fullmatch(r"run-tool-run-[0-9a-f]{12}", name)
    assert name not in tools.run("ps").out
    tools.run("rm", "-f", "tool")
    assert tools.states() == {}


def test_detached_it_prints_its_id_and_goes_on(stack: Stack) -> None:
    _write(stack)

    printed = stack.run("run", "-d", "--name", "aside", "tool", "sleep", "1000").out

    (row,) = stack.run("ps", "-a", "--format", "json", "--no-trunc").rows()
    assert (row["Name"], row["State"]) == ("aside", "running")
    assert printed == row["ID"] + "\n"


def test_user_folder_variables_labels_and_entrypoint_are_as_asked(tools: Stack) -> None:
    options = ("-u", "nobody", "-w", "/tmp", "-e", "GIVEN=1", "-e", "FROM_HERE", "--entrypoint", "sh -c")

    shown = tools.run("run", "--rm", *options, "tool", "id -u; pwd; env", env={"FROM_HERE": "2"}).out

    assert shown.splitlines()[:2] == ["65534", "/tmp"]
    assert {"GIVEN=1", "FROM_HERE=2", "FROM_FILE=yes"} <= set(shown.splitlines())


def test_a_folder_is_mounted_from_the_folder_of_the_stack(tools: Stack) -> None:
    (tools.folder / "given").write_text("content\n", encoding="ascii")

    shown = tools.run("run", "--rm", "-v", "./:/given:ro", "tool", "cat", "/given/given")

    assert shown.out == "content\n"
    tools.run("run", "--rm", "-v", "./:/given:ro", "tool", "touch", "/given/x", status=1)


def test_the_services_ports_are_published_only_when_asked_for(stack: Stack) -> None:
    _write(stack)
    port = free_port()

    stack.run("run", "-d", "--name", "quiet", "tool", "sleep", "1000")
    stack.run("run", "-d", "--name", "loud", "--service-ports", "tool", "sleep", "1000")
    stack.run("run", "-d", "--name", "other", "-p", f"{port}:81", "tool", "sleep", "1000")
    taken = stack.run("run", "--rm", "--service-ports", "tool", "true", status=1)

    ports = {row["Name"]: row["Ports"] for row in stack.run("ps", "-a", "--format", "json").rows()}
    assert ports.pop("quiet") == ""
    assert re.fullmatch(r"127\.0\.0\.1:\d+->80/tcp", ports.pop("loud"))
    assert ports == {"other": f"0.0.0.0:{port}->81/tcp"}
    assert "is held by container loud" in taken.err


def test_what_the_service_needs_is_started_first_unless_told_not_to(stack: Stack) -> None:
    _write(stack)

    alone = stack.run("run", "--rm", "--no-deps", "needy")
    states = stack.states()
    together = stack.run("run", "--rm", "needy")

    assert (alone.out, states) == ("ready\n", {})
    assert together.out == "ready\n"
    assert f"Container {stack.name}-db-1  Healthy" in together.err
    assert stack.states() == {f"{stack.name}-db-1": "running"}


def test_at_a_terminal_it_is_one(tools: Stack) -> None:
    with tools.terminal("run", "--rm", "tool", "sh", columns=93) as terminal:
        terminal.read_until("# ")
        terminal.type("tty; stty size\n")
        terminal.read_until("/dev/")
        terminal.read_until("30 93")
        terminal.type("exit 3\n")

        assert terminal.wait() == 3


def test_ctrl_c_without_a_terminal_is_sent_on_and_rm_still_removes(tools: Stack) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while true; do sleep 0.1; done"
    process = tools.start("run", "--rm", "-T", "tool", "sh", "-c", script, stderr=None)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)

    assert process.stdout.read() == b"caught\n"
    assert process.wait(10) == 4
    process.stdout.close()
    assert tools.states() == {}


def test_a_third_ctrl_c_kills_what_ignores_them(tools: Stack) -> None:
    script = "trap 'echo no' INT; echo ready; while true; do sleep 0.1; done"
    process = tools.start("run", "--rm", "-T", "tool", "sh", "-c", script, stderr=None)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"no\n"
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 137
    process.stdout.close()
    assert tools.states() == {}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing",), "error[no-such-service]: no such service: nothing\n"),
        (("-d", "--rm", "tool"), "error[usage]: --detach and --rm are incompatible\n"),
        (("-p", "abc", "tool"), "error[usage]"),
    ],
)
def test_what_cannot_be_run_is_an_error_and_leaves_nothing(
    tools: Stack, arguments: tuple[str, ...], error: str
) -> None:
    result = tools.run("run", *arguments, status=1)

    assert error in result.err
    assert tools.states() == {}
