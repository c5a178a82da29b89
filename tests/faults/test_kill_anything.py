"""kill -9 of the engine's processes, alone and together: containers do not notice, and the next command works."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stackctl.client.engine_client import EngineClient
from stackctl.engines.start import ensure_engine
from stackctl.runtime.kernel.tiny_holder import NAME as HOLDER
from tests.support.engine import Engine, kill_at_once, wait_until
from tests.support.ports import free_port
from tests.support.terminal import Terminal, stackctl_argv

pytestmark = pytest.mark.changes_shared_engine

_ROLES = ("keeper", "supervisor", "daemon")
_SETS = [
    ("supervisor",),
    ("daemon",),
    ("keeper",),
    ("supervisor", "daemon"),
    ("keeper", "daemon"),
    ("keeper", "supervisor"),
    _ROLES,
]

_STACK = """\
name: killed
services:
  talker:
    image: busybox
    command: sh -c 'i=0; while true; do i=$$((i+1)); echo line $$i; echo oops $$i >&2; sleep 0.02; done'
    stop_grace_period: 0s
  web:
    image: busybox
    command: sh -c 'echo hello >/www/index.html; exec httpd -f -h /www -p 80'
    ports: ["127.0.0.1:{port}:80"]
    stop_grace_period: 0s
    healthcheck: {{test: [CMD, "true"], interval: 1s}}
  terminal:
    image: busybox
    command: sh
    tty: true
    stdin_open: true
    stop_grace_period: 0s
  listener:
    image: busybox
    command: cat
    stdin_open: true
    stop_grace_period: 0s
  client:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {{web: {{condition: service_healthy}}}}
"""


class Town:
    """An engine with the stack, and what the tests ask of it; directly, as a command each time would be slow."""

    def __init__(self, engine: Engine, folder: Path, port: int) -> None:
        self.engine, self.folder, self.port = engine, folder, port

    def stackctl(self, *arguments: str, status: int | None = 0) -> str:
        return self.engine.run(*arguments, status=status, cwd=self.folder).out

    def client(self) -> EngineClient:
        return EngineClient(ensure_engine(self.engine.variables()))

    def pids(self) -> dict[str, int]:
        found: dict[str, int] = self.client().engine_status()["pids"]
        return found

    def kill(self, roles: Sequence[str]) -> None:
        """kill -9, all at once; they are gone when this returns."""
        kill_at_once([self.pids()[role] for role in roles])

    def lives(self) -> dict[str, tuple[int, str, int]]:
        """First process, time of start and number of restarts of each running container."""
        client, found = self.client(), {}
        for entry in client.containers():
            shape = client.inspect_container(entry["Id"])
            found[shape["Name"]] = (shape["State"]["Pid"], shape["State"]["StartedAt"], shape["RestartCount"])
        return found

    def numbers(self, word: str) -> list[int]:
        """The numbers that the talker said after ``word``."""
        log = b"".join(data for _, data in self.client().logs("killed-talker-1"))
        return [int(line.split()[1]) for line in log.decode().splitlines() if line.startswith(word)]

    def page(self) -> str:
        """What the published port answers, "" for nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def page_by_name(self) -> str:
        """What another container gets under the service's name."""
        return self.engine.run("exec", "-T", "client", "wget", "-qO-", "http://web/", cwd=self.folder, status=None).out

    def assert_terminal_answers(self) -> None:
        """The shell there, which would end with its terminal, reads, writes and learns the window's size."""
        argv = stackctl_argv("attach", "--detach-keys", "ctrl-p,ctrl-q", "terminal")
        with Terminal(argv, env=self.engine.variables(), cwd=self.folder, columns=61, lines=17) as screen:
            screen.type("echo $((6 * 7)); stty size\r")
            screen.read_until("42\r\n17 61\r\n")
            screen.type("\x10\x11")
            assert screen.wait() == 0

    def holders(self) -> list[int]:
        """The processes that hold terminals for this engine."""
        named = f"{HOLDER}\0{(self.engine.root / 'engine-id').read_text()}\0".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _content(path) == named]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def town(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, port = tmp_path_factory.mktemp("killed"), free_port()
    (folder / "compose.yaml").write_text(_STACK.format(port=port), encoding="utf-8")
    made = Town(shared_engine, folder, port)
    made.stackctl("up", "-d", "--wait")
    yield made
    made.stackctl("down", "-v")


@pytest.mark.parametrize("roles", _SETS, ids="+".join)
def test_containers_do_not_notice_and_everything_works_again(town: Town, roles: Sequence[str]) -> None:
    before = town.lives()
    assert len(before) == 5

    town.kill(roles)

    assert town.lives() == before
    assert wait_until("the published port answers", town.page) == "hello\n"
    assert wait_until("the name leads there", town.page_by_name) == "hello\n"
    town.assert_terminal_answers()
    town.stackctl("plan", "--detailed-exitcode")
    assert town.lives() == before
    wait_until("all three run", lambda: all(town.pids()[role] for role in _ROLES))
    said = len(town.numbers("line"))
    wait_until("the log goes on", lambda: len(town.numbers("line")) > said)
    for word in ("line", "oops"):
        seen = town.numbers(word)
        assert seen == list(range(1, len(seen) + 1)), "lines are lost or repeated"


def test_who_holds_the_terminals_is_replaced_when_killed_and_ends_with_the_last_of_them(town: Town) -> None:
    (first,) = town.holders()
    os.kill(first, signal.SIGKILL)
    (second,) = wait_until("another holds them", lambda: [pid for pid in town.holders() if pid != first])
    town.kill(_ROLES)
    town.assert_terminal_answers()
    assert town.holders() == [second]
    held = sorted(os.readlink(path).partition(":")[0] for path in Path(f"/proc/{second}/fd").iterdir())
    assert held == ["socket", "socket"]
    assert os.readlink(f"/proc/{second}/cwd") == "/"
    town.stackctl("stop", "terminal")
    assert town.holders() == [second]
    town.stackctl("stop", "listener")
    wait_until("nobody holds what nobody needs", lambda: not town.holders())
    town.stackctl("start", "terminal", "listener")
    town.assert_terminal_answers()
