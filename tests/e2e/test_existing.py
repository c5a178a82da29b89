"""Commands about containers that exist: create, scale, kill, rm, wait, attach."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.engine import wait_until
from tests.support.stack import BUSYBOX, FOREVER, Stack

TRAP = "trap 'echo got it' USR1; while true; do sleep 0.05; done"


@pytest.fixture
def shell(stack: Stack) -> Iterator[Stack]:
    """A stack whose service is a shell at a terminal."""
    stack.write({"sh": {**BUSYBOX, "command": "sh", "tty": True, "stdin_open": True}})
    stack.run("up", "-d")
    yield stack


def test_create_makes_containers_and_start_starts_them(stack: Stack) -> None:
    stack.write({"web": {**FOREVER, "deploy": {"replicas": 2}, "depends_on": ["db"]}, "db": FOREVER})
    web, db = [f"{stack.name}-web-1", f"{stack.name}-web-2"], f"{stack.name}-db-1"

    stack.run("create", "--scale", "web=1", "web")
    assert stack.states() == {web[0]: "created", db: "created"}
    stack.run("create")
    assert stack.states() == dict.fromkeys([*web, db], "created")
    first = stack.run("ps", "-aq").out
    stack.run("create", "--force-recreate", "db")
    assert set(stack.run("ps", "-aq").out.split()) ^ set(first.split()), "nothing was made anew"
    stack.run("start", "web")
    assert stack.states() == dict.fromkeys([*web, db], "running")


def test_create_pulls_when_it_is_told_to(stack: Stack) -> None:
    stack.write({"web": {"image": "no.such.host.invalid/web"}})

    assert "error[image-not-found]" in stack.run("create", "--pull", "never", status=1).err
    assert stack.states() == {}


def test_scale_changes_the_number_of_replicas_and_nothing_else(stack: Stack) -> None:
    stack.write({"web": FOREVER, "db": FOREVER})
    stack.run("up", "-d")
    before = {row["Name"]: row["ID"] for row in stack.run("ps", "--format", "json").rows()}
    stack.write({"web": {**FOREVER, "environment": ["NEW=1"]}, "db": FOREVER})

    stack.run("scale", "web=3", "db=0")
    after = {row["Name"]: row["ID"] for row in stack.run("ps", "--format", "json").rows()}
    assert sorted(after) == [f"{stack.name}-web-{number}" for number in (1, 2, 3)]
    assert after[f"{stack.name}-web-1"] == before[f"{stack.name}-web-1"]
    assert "error[no-such-service]" in stack.run("scale", "wbe=2", status=1).err
    assert "error[usage]" in stack.run("scale", "web", status=1).err


def test_kill_sends_signals_to_replicas_and_one_offs(stack: Stack) -> None:
    stack.write({"web": {**BUSYBOX, "command": ["sh", "-c", TRAP]}, "db": FOREVER})
    stack.run("up", "-d")
    stack.run("run", "-d", "--name", f"{stack.name}-aside", "web")

    stack.run("kill", "-s", "usr1", "web")
    wait_until("both heard it", lambda: len(re.findall("got it", stack.run("logs", "web").out)) == 1)
    aside = [f"{stack.name}-{name}" for name in ("web-1", "aside", "db-1")]
    assert stack.states() == dict.fromkeys(aside, "running")
    stack.run("kill", "web")
    assert stack.states() == {aside[0]: "exited", aside[1]: "exited", aside[2]: "running"}
    stack.run("rm", "-f", "web")
    stack.run("run", "-d", "--name", f"{stack.name}-again", "web")
    stack.run("kill", "web")
    assert stack.states() == {f"{stack.name}-again": "exited", aside[2]: "running"}
    assert "error[usage]: unknown signal: FOO" in stack.run("kill", "-s", "FOO", status=1).err


def test_rm_asks_and_removes_what_does_not_run(stack: Stack) -> None:
    stack.write({"web": FOREVER, "job": {**BUSYBOX, "command": "true", "volumes": ["/data"]}})
    stack.run("up", "-d")
    stack.run("wait", "job")
    job = f"{stack.name}-job-1"

    assert stack.run("rm", stdin="n\n").err.startswith(f"Going to remove {job}. Are you sure?")
    assert job in stack.states()
    stack.run("rm", stdin="y\n")
    assert stack.states() == {f"{stack.name}-web-1": "running"}
    assert len(stack.run("volumes", "-q").out.split()) == 1
    stack.run("up", "-d")
    stack.run("wait", "job")
    stack.run("rm", "-f", "-s", "-v")
    assert (stack.states(), stack.run("volumes", "-q").out) == ({}, "")


def test_wait_takes_the_stack_down_with_the_first_that_ends(stack: Stack) -> None:
    stack.write({"web": FOREVER, "job": {**BUSYBOX, "command": "sh -c 'exit 5'"}})
    stack.run("up", "-d")

    said = stack.run("wait", "--down-project", "web", "job", status=5).out
    assert re.fullmatch(r'container "[0-9a-f]{64}" exited with status code 5\n', said)
    assert stack.states() == {}


def test_attach_shows_what_comes_sends_signals_on_and_exits_as_the_process_does(stack: Stack) -> None:
    script = "trap 'echo bye; exit 9' INT; echo before; while true; do echo now; sleep 0.05; done"
    stack.write({"web": {**BUSYBOX, "command": ["sh", "-c", script]}})
    stack.run("up", "-d")
    process = stack.start("attach", "web")
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.send_signal(2)

    assert process.stdout.read().endswith(b"bye\n")
    assert process.wait(20) == 9


def test_a_terminal_that_is_attached_is_left_by_ctrl_p_ctrl_q(shell: Stack) -> None:
    with shell.terminal("attach", "sh") as terminal:
        terminal.type("echo $((6 * 7))\r")
        terminal.read_until("42")
        terminal.type("\x10")
        terminal.type("\x11")
        assert terminal.wait() == 0
    assert set(shell.states().values()) == {"running"}


def test_other_keys_may_be_chosen_to_leave_it(shell: Stack) -> None:
    with shell.terminal("attach", "--detach-keys", "ctrl-a,d", "sh") as terminal:
        terminal.type("echo $((6 * 7))\x01\x7f\r")  # Ctrl-A and another key go to the shell
        terminal.read_until("42")
        terminal.type("\x01d")
        assert terminal.wait() == 0
    with shell.terminal("attach", "sh") as terminal:
        terminal.type("exit 3\r")
        assert terminal.wait() == 3
    assert "error[usage]: invalid detach keys: 42" in shell.run("attach", "--detach-keys", "42", "sh", status=1).err


def test_logs_of_what_is_not_to_be_attached_are_shown_when_it_is_named(stack: Stack) -> None:
    hush = {**BUSYBOX, "command": "sh -c 'echo hush; exec sleep 1000'", "attach": False}
    stack.write({"web": {**BUSYBOX, "command": "sh -c 'echo hello; sleep 0.2; exit 4'"}, "quiet": hush})
    with stack.terminal("up", "--abort-on-container-failure") as terminal:
        assert terminal.wait() == 4
    assert "hello" in terminal.shown
    assert "hush" not in terminal.shown

    assert stack.run("logs").out == "web-1  | hello\n"
    assert stack.run("logs", "quiet").out == "quiet-1  | hush\n"
    with stack.terminal("up", "--attach", "quiet", "--abort-on-container-exit") as terminal:
        assert terminal.wait() == 4
    assert "hush" in terminal.shown
    assert "hello" not in terminal.shown


def test_run_takes_variables_from_files_and_capabilities(stack: Stack) -> None:
    stack.write({"it": {**BUSYBOX, "cap_drop": ["CHOWN"]}})
    (stack.folder / "some.env").write_text('A=1\nB="two words"\n')

    options = ("--env-from-file", "some.env", "-e", "A=3", "--cap-add", "CAP_CHOWN", "--cap-drop", "kill", "-q")
    said = stack.run(
        "run", "--rm", "--pull", "never", *options, "it", "sh", "-c", "echo $A $B; grep CapBnd /proc/self/status"
    )
    variables, capabilities = said.out.splitlines()
    assert variables == "3 two words"
    held = int(capabilities.split()[1], 16)
    assert (held & 1, held >> 5 & 1) == (1, 0)
    assert "none.env" in stack.run("run", "--rm", "--env-from-file", "none.env", "it", status=1).err


def test_what_the_named_services_need_is_replaced_when_asked_for(stack: Stack) -> None:
    stack.write({"web": {**FOREVER, "depends_on": ["db"]}, "db": FOREVER})
    stack.run("up", "-d")
    before = {row["Service"]: row["ID"] for row in stack.run("ps", "--format", "json").rows()}

    stack.run("up", "-d", "--always-recreate-deps", "web")
    after = {row["Service"]: row["ID"] for row in stack.run("ps", "--format", "json").rows()}
    assert (after["web"] == before["web"], after["db"] == before["db"]) == (True, False)
