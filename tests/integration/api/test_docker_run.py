"""`docker run`, `exec` and `attach`, by Docker's own command line: output, input, terminals and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import wait_until
from tests.support.terminal import Terminal


@pytest.fixture(scope="module", autouse=True)
def _made_once(docker: Docker) -> None:
    """What an engine makes with its first container on the default network."""
    docker.run("run", "--rm", "busybox", "true")


@contextmanager
def _terminal(docker: Docker, *arguments: str) -> Iterator[Terminal]:
    with Terminal([docker.program, *arguments], env=docker.variables(), cwd=Path("/")) as terminal:
        yield terminal


def _names(docker: Docker, *arguments: str) -> list[str]:
    return docker.run("ps", "--format", "{{.Names}}", *arguments).out.split()


def test_output_and_exit_code_are_the_containers_and_it_is_gone_afterwards(docker: Docker) -> None:
    ran = docker.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", status=7)

    assert (ran.out, ran.err) == ("out\n", "err\n")
    assert _names(docker, "-a") == []


def test_standard_input_reaches_the_container_and_ends_with_the_clients(docker: Docker) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20_000))

    ran = docker.run("run", "-i", "--rm", "busybox", "sh", "-c", "cat; echo done", stdin=text)

    assert ran.out == text.decode() + "done\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("run", "--rm", "busybox", "nope"), 127, "executable file not found"),
        (("run", "--rm", "busybox", "/etc"), 126, "permission denied"),
        (("run", "--rm", "--network", "nowhere", "busybox", "true"), 125, "network nowhere not found"),
        (("run", "--rm", "--pull", "never", "nothing:1", "true"), 125, "No such image: nothing:1"),
        (("run", "--rm", "--volumes-from", "x", "busybox", "true"), 125, "No such container: x"),
        (("run", "--rm", "--cgroup-parent", "/x", "busybox", "true"), 125, "not supported by this engine"),
        (("run", "--rm", "--name", "x", "busybox", "true"), 125, "Invalid container name"),
        (("run", "--rm", "--user", "nobody-here", "busybox", "true"), 125, "nobody-here"),
    ],
)
def test_what_cannot_run_says_so_and_leaves_nothing(
    docker: Docker, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ran = docker.run(*arguments, status=status)

    assert said in ran.err
    assert _names(docker, "-a") == []


def test_a_detached_container_gets_a_name_and_is_removed_when_it_ends(docker: Docker) -> None:
    made = docker.run("run", "-d", "--rm", "busybox", "sleep", "300").out.strip()
    (name,) = _names(docker)
    assert "_" in name

    docker.run("kill", name)

    wait_until("the container is gone", lambda: not _names(docker, "-a"))
    assert "No such container" in docker.run("inspect", "--type", "container", made, status=1).err


def test_a_terminal_has_a_size_and_is_left_with_the_detach_keys(docker: Docker) -> None:
    with _terminal(docker, "run", "-it", "--name", "shell", "busybox", "sh") as terminal:
        terminal.read_until("# ")
        terminal.type("stty size; echo a-$((1+1))\r")
        assert "30 100" in terminal.read_until("a-2")
        terminal.resize(81, 41)
        terminal.type("stty size\r")
        terminal.read_until(lambda shown: "41 81" in shown or terminal.type("stty size\r"))
        terminal.type("\x10\x11")
        assert terminal.wait() == 0
    assert _names(docker) == ["shell"]

    with _terminal(docker, "attach", "shell") as terminal:
        terminal.type("exit 4\r")
        assert terminal.wait() == 4
    docker.run("rm", "shell")


def test_ctrl_c_reaches_the_container(docker: Docker) -> None:
    script = "trap 'exit 33' INT; echo ready; while :; do sleep 1; done"
    with _terminal(docker, "run", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.read_until("ready")
        terminal.type("\x03")
        assert terminal.wait() == 33


def test_exec_has_its_own_input_output_and_codes(docker: Docker) -> None:
    docker.run("run", "-d", "--name", "host", "busybox", "sleep", "300")
    try:
        ran = docker.run("exec", "host", "sh", "-c", "echo out; echo err >&2; exit 9", status=9)
        assert (ran.out, ran.err) == ("out\n", "err\n")
        assert docker.run("exec", "-i", "host", "cat", stdin=b"typed").out == "typed"
        assert docker.run("exec", "-e", "A=1", "-w", "/tmp", "host", "sh", "-c", "echo $A; pwd").out == "1\n/tmp\n"
        assert "executable file not found" in docker.run("exec", "host", "nope", status=127).out
        docker.run("exec", "-d", "host", "touch", "/tmp/made")
        wait_until("it is made", lambda: docker.run("exec", "host", "test", "-e", "/tmp/made", status=None).status == 0)
        with _terminal(docker, "exec", "-it", "host", "sh") as terminal:
            terminal.type("stty size; exit 5\r")
            terminal.read_until("30 100")
            assert terminal.wait() == 5
    finally:
        docker.run("rm", "-f", "host")


def test_a_started_container_is_attached_to_again(docker: Docker) -> None:
    docker.run("create", "-i", "--name", "again", "busybox", "sh", "-c", "read word; echo got $word; exit 5")
    try:
        for word in ("one", "two"):
            ran = docker.run("start", "-a", "-i", "again", stdin=f"{word}\n".encode(), status=5)
            assert ran.out == f"got {word}\n"
        assert docker.run("logs", "again").out == "got one\ngot two\n"
    finally:
        docker.run("rm", "again")
