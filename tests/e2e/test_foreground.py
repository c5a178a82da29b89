"""`up` in the foreground: logs, Ctrl-C, and what ends it."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.engine import end, wait_until
from tests.support.stack import BUSYBOX, Stack

TALKER = "sh -c 'trap \"echo bye; exit 0\" TERM; echo hello; echo trouble >&2; while true; do sleep 0.1; done'"
STUBBORN = "sh -c 'trap \"\" TERM; echo hello; while true; do sleep 0.1; done'"


@pytest.fixture
def talking(stack: Stack) -> Stack:
    """A stack whose two replicas of ``web`` say hello, and bye when they are told to stop."""
    web = {"image": "busybox", "command": TALKER, "deploy": {"replicas": 2}, "stop_grace_period": "20s"}
    stack.write({"web": web})
    return stack


def test_logs_are_shown_with_colours_and_ctrl_c_stops_the_stack(talking: Stack) -> None:
    with talking.terminal("up") as terminal:
        terminal.read_until(lambda shown: shown.count("hello") == 2 and shown.count("trouble") == 2)
        terminal.type("\x03")
        terminal.read_until("Gracefully stopping")
        terminal.read_until(lambda shown: shown.count("bye") == 2)

        assert terminal.wait() == 130
    assert set(talking.states().values()) == {"exited"}


def test_each_replica_has_a_prefix_and_a_colour_of_its_own(talking: Stack) -> None:
    with talking.terminal("up") as terminal:
        shown = terminal.read_until(lambda text: text.count("hello") == 2)
        terminal.type("\x03")
        assert terminal.wait() == 130

    colours = re.findall(r"(\x1b\[[0-9;]*m)web-([12])  \| \x1b\[0m+ ?hello", shown)
    assert {number for _, number in colours} == {"1", "2"}


@pytest.mark.parametrize(
    ("arguments", "env"), [(("--ansi", "never", "up"), {}), (("up", "--no-color"), {}), (("up",), {"NO_COLOR": "1"})]
)
def test_colours_can_be_switched_off(talking: Stack, arguments: tuple[str, ...], env: dict[str, str]) -> None:
    with talking.terminal(*arguments, env=env) as terminal:
        terminal.read_until("web-1  | hello")
        terminal.type("\x03")

        assert terminal.wait() == 130


def test_a_second_ctrl_c_kills(stack: Stack) -> None:
    stack.write({"web": {"image": "busybox", "command": STUBBORN, "stop_grace_period": "100s"}})
    with stack.terminal("up") as terminal:
        terminal.read_until("hello")
        terminal.type("\x03")
        terminal.read_until("Gracefully stopping")
        terminal.type("\x03")

        assert terminal.wait() == 130
    (row,) = stack.run("ps", "-a", "--format", "json").rows()
    assert (row["State"], row["ExitCode"]) == ("exited", 137)


def test_sigterm_stops_the_stack_too(talking: Stack) -> None:
    process = talking.start("up")
    assert process.stdout is not None
    assert any(b"hello" in line for line in process.stdout)

    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()

    assert process.wait(20) == 130
    process.stdout.close()
    assert rest.count(b"bye") == 2
    assert set(talking.states().values()) == {"exited"}


def test_when_the_command_line_dies_the_stack_stays(talking: Stack) -> None:
    process = talking.start("up")
    assert process.stdout is not None
    assert any(b"hello" in line for line in process.stdout)

    end(process)
    process.stdout.close()

    assert set(talking.states().values()) == {"running"}
    talking.run("kill")


def test_an_up_whose_command_line_dies_is_finished(stack: Stack) -> None:
    db = {**BUSYBOX, "command": "sleep 1000", "healthcheck": {"test": "test -e /tmp/ready", "interval": "100ms"}}
    db["healthcheck"]["retries"] = 1000
    web = {**BUSYBOX, "command": "sleep 1000", "depends_on": {"db": {"condition": "service_healthy"}}}
    stack.write({"db": db, "web": web})
    process = stack.start("up", "-d")
    assert process.stdout is not None
    assert any(b"Waiting" in line for line in process.stdout)
    end(process)
    process.stdout.close()

    stack.run("exec", "-T", "db", "touch", "/tmp/ready")

    wait_until("web runs", lambda: stack.states()[f"{stack.name}-web-1"] == "running")


def test_ctrl_c_while_it_comes_up_leaves_nothing_running(stack: Stack) -> None:
    db = {**BUSYBOX, "command": "sleep 1000", "healthcheck": {"test": "false", "interval": "1s", "retries": 1000}}
    web = {**BUSYBOX, "command": "sleep 1000", "depends_on": {"db": {"condition": "service_healthy"}}}
    stack.write({"db": db, "web": web})
    with stack.terminal("up") as terminal:
        terminal.read_until("waiting for db to be healthy")
        terminal.type("\x03")

        assert terminal.wait() == 130
    assert "running" not in stack.states().values()


def test_a_reader_that_leaves_ends_up_and_not_the_stack(talking: Stack) -> None:
    process = talking.start("up", stderr=None)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    talking.run("exec", "-T", "web", "sh", "-c", "echo more >/proc/1/fd/1")

    assert process.wait(20) == 1
    assert set(talking.states().values()) == {"running"}
    talking.run("kill")


def test_it_ends_by_itself_with_the_last_container_and_exits_with_0(stack: Stack) -> None:
    stack.write({"one": {**BUSYBOX, "command": "sh -c 'echo done; exit 3'"}})

    result = stack.run("up")

    assert result.out == "one-1  | done\none-1 exited with code 3\n"


def test_with_abort_the_first_exit_stops_all_and_gives_its_code(stack: Stack) -> None:
    stack.write({"one": {**BUSYBOX, "command": "sh -c 'exit 3'"}, "two": {**BUSYBOX, "command": "sleep 1000"}})

    stack.run("up", "--abort-on-container-exit", status=3)

    assert set(stack.states().values()) == {"exited"}


def test_the_code_of_a_service_can_be_asked_for(stack: Stack) -> None:
    stack.write(
        {
            "test": {**BUSYBOX, "command": "sh -c 'sleep 0.3; exit 5'"},
            "db": {"image": "busybox", "command": TALKER},
        }
    )

    stack.run("up", "--exit-code-from", "test", status=5)
    stack.run("up", "--exit-code-from", "db", "--abort-on-container-exit", status=0)


def test_output_that_is_no_text_passes_as_it_is(stack: Stack) -> None:
    stack.write({"one": {**BUSYBOX, "command": ["printf", r"a\377b\r\n\033[31mred\n"]}})
    process = stack.start("up", stderr=None)
    assert process.stdout is not None

    shown = process.stdout.read()

    assert b"one-1  | a\xffb\none-1  | \x1b[31mred\n" in shown
    process.stdout.close()
    assert process.wait(10) == 0


@pytest.mark.parametrize("columns", [20, 45, 80])
def test_progress_never_outgrows_the_terminal(stack: Stack, columns: int) -> None:
    stack.write({"a-service-with-a-long-name": {**BUSYBOX, "command": "sleep 1000"}})
    with stack.terminal("up", "-d", columns=columns) as terminal:
        assert terminal.wait() == 0
        frames = terminal.shown.split("\x1b[J")[1:]

    assert frames
    for frame in frames:
        table = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame[frame.index("[+] ") :])
        assert all(len(line.rstrip("\r")) <= columns for line in table.split("\n"))
