"""`exec`: exit codes, streams, terminals."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine, wait_until
from tests.support.stack import BUSYBOX, FOREVER, Stack, stack_in
from tests.support.terminal import Terminal


@pytest.fixture(scope="module")
def web(resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with two replicas of ``web`` and a stopped ``done``."""
    with stack_in(resident, tmp_path_factory.mktemp("exec"), "exec") as stack:
        stack.write(
            {
                "web": {**FOREVER, "deploy": {"replicas": 2}, "environment": {"FROM_FILE": "yes"}},
                "done": {**BUSYBOX, "command": "true"},
            }
        )
        stack.run("up", "-d")
        yield stack


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("no-such-command",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_exec_exits_as_the_command_does(web: Stack, command: tuple[str, ...], status: int) -> None:
    web.run("exec", "web", *command, status=status)


def test_a_command_that_is_not_there_is_named(web: Stack) -> None:
    result = web.run("exec", "web", "no-such-command", status=127)

    assert result.out == ""
    assert result.err == (
        "error[command-not-found]: exec in exec-web-1: command not found in the image: no-such-command\n"
        "hint: check command and entrypoint, and that the image holds the program and its interpreter\n"
    )


def test_output_and_errors_stay_apart_and_bytes_as_they_are(web: Stack) -> None:
    result = web.run("exec", "web", "sh", "-c", r"printf 'a\0\377\n'; echo b >&2")

    assert (result.out, result.err) == ("a\0\N{REPLACEMENT CHARACTER}\n", "b\n")


def test_standard_input_arrives_and_ends(web: Stack) -> None:
    typed = bytes(range(256)) * 4096

    result = web.run("exec", "-T", "web", "sha256sum", stdin=typed)

    assert result.out.split()[0] == hashlib.sha256(typed).hexdigest()


def test_options_after_the_service_belong_to_the_command(web: Stack) -> None:
    assert web.run("exec", "web", "echo", "-e", "--help", "-T").out == "--help -T\n"


def test_user_folder_and_variables_are_as_asked(web: Stack) -> None:
    options = ("-u", "nobody", "-w", "/tmp", "-e", "GIVEN=1", "-e", "FROM_HERE", "-e", "NOT_HERE")

    shown = web.run("exec", *options, "web", "sh", "-c", "id -u; pwd; env", env={"FROM_HERE": "2"}).out

    assert shown.splitlines()[:2] == ["65534", "/tmp"]
    assert {"GIVEN=1", "FROM_HERE=2", "FROM_FILE=yes"} <= set(shown.splitlines())
    assert "NOT_HERE" not in shown


def test_the_first_replica_is_meant_unless_another_is_named(web: Stack) -> None:
    names = [web.run("exec", *which, "web", "hostname").out for which in ((), ("--index", "1"), ("--index", "2"))]

    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--index", "3", "web", "true"), 'error[not-running]: service "web" is not running container #3\n'),
        (("done", "true"), 'error[not-running]: service "done" is not running\n'),
        (("nothing", "true"), "error[no-such-service]: no such service: nothing\n"),
    ],
)
def test_what_cannot_be_entered_is_an_error(web: Stack, arguments: tuple[str, ...], error: str) -> None:
    result = web.run("exec", *arguments, status=1)

    assert result.err.startswith(error)


def test_a_detached_command_goes_on_alone(web: Stack) -> None:
    web.run("exec", "-d", "web", "sh", "-c", "echo there >/tmp/detached")

    wait_until("the file is there", lambda: web.run("exec", "web", "ls", "/tmp", status=None).out == "detached\n")


def test_at_a_terminal_the_command_has_one_of_the_same_size(web: Stack) -> None:
    with web.terminal("exec", "web", "sh", columns=93) as terminal:
        terminal.read_until("# ")
        terminal.type("tty; stty size\n")
        terminal.read_until("/dev/pts/0")
        terminal.read_until("30 93")
        terminal.resize(71, 20)
        terminal.type("stty size\n")
        wait_until("the new size is known", lambda: _asks_size(terminal) == "20 71")
        terminal.type("exit 3\n")

        assert terminal.wait() == 3


def _asks_size(terminal: Terminal) -> str:
    terminal.type("echo size $(stty size)\n")
    found = terminal.read_until(lambda shown: re.search(r"size (\d+ \d+)", shown))
    return re.findall(r"size (\d+ \d+)", found)[-1]


def test_ctrl_c_is_the_commands_own(web: Stack) -> None:
    with web.terminal("exec", "web", "sh", "-c", "trap 'echo caught; exit 4' INT; echo ready; read x") as terminal:
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.read_until("caught")

        assert terminal.wait() == 4


def test_the_terminal_is_given_back(web: Stack) -> None:
    with web.terminal("exec", "web", "sh") as terminal:
        before = terminal.settings()
        terminal.read_until("# ")
        assert terminal.settings() != before
        terminal.type("\x04")

        assert terminal.wait() == 0
        assert terminal.settings() == before


def test_without_a_terminal_ctrl_c_leaves_the_command_alone(web: Stack) -> None:
    process = web.start("exec", "-T", "web", "sh", "-c", "echo ready; sleep 2; echo done >/tmp/survived")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 130
    process.stdout.close()
    wait_until("it has ended by itself", lambda: web.run("exec", "web", "cat", "/tmp/survived", status=None).out)


def test_T_at_a_terminal_is_pipes(web: Stack) -> None:
    with web.terminal("exec", "-T", "web", "sh", "-c", "test -t 0 || echo none") as terminal:
        terminal.read_until("none")
        assert terminal.wait() == 0


def test_a_reader_that_leaves_ends_exec(web: Stack) -> None:
    process = web.start("exec", "-T", "web", "yes")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.wait(10) == 1
    wait_until("yes is gone", lambda: "yes" not in web.run("exec", "web", "ps").out.replace("yes=", ""))
