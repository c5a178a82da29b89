"""The example that a newcomer sees first, end to end."""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import Stack, free_port, stack_in

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello"
REACH = "import socket, sys; socket.create_connection((sys.argv[1], 7000), timeout=2)"
# Stands beside the example's services, on the front network only.
OUTSIDER = """
services:
  outsider: {image: host, command: sleep 1000, stop_grace_period: 0s, networks: [front]}
"""


@dataclass(frozen=True)
class Hello(Stack):
    """The example, published on ``port``."""

    port: int

    def page(self) -> str:
        """Fetch the page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def inside(self, service: str, *command: str, status: int | None = 0) -> str:
        """Run a command in a container and return what it wrote."""
        return self.run("exec", "-T", service, *command, status=status).out


@contextmanager
def _copy_of_the_example(engine: Engine, folder: Path, name: str) -> Iterator[Hello]:
    shutil.copytree(EXAMPLE, folder)
    (folder / "compose.override.yaml").write_text(OUTSIDER, encoding="utf-8")
    port = free_port()
    (folder / ".env").write_text(f"HELLO_PORT={port}\nCOMPOSE_PROJECT_NAME={name}\n", encoding="utf-8")
    with stack_in(engine, folder, name):
        found = Hello(engine, folder, name, port)
        found.run("up", "-d", "--wait")
        yield found


@pytest.fixture(scope="module")
def hello(resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hello]:
    """A copy of the example, up and healthy."""
    with _copy_of_the_example(resident, tmp_path_factory.mktemp("hello") / "files", "hello") as found:
        yield found


def _server(page: str) -> str:
    found = re.search(r"Served by <b>(\w+)</b>", page)
    assert found is not None
    return found[1]


def _visit(page: str) -> int:
    found = re.search(r"visit number (\d+)", page)
    assert found is not None
    return int(found[1])


def test_both_replicas_behind_the_published_port_get_traffic(hello: Hello) -> None:
    servers = {_server(hello.page()) for _ in range(12)}

    replicas = {hello.run("exec", "-T", "--index", number, "web", "hostname").out.strip() for number in ("1", "2")}
    assert servers == replicas
    assert len(servers) == 2


def test_up_tells_where_the_stack_can_be_reached(hello: Hello) -> None:
    again = hello.run("up", "-d", "--wait")

    assert again.out == f"web  http://127.0.0.1:{hello.port}\n"
    assert again.err.startswith("Stack hello: nothing to do.\n")


def test_the_one_shot_has_completed_before_the_web_service_started(hello: Hello) -> None:
    rows = {row["Name"]: row for row in hello.run("ps", "-a", "--format", "json").rows()}

    assert (rows["hello-migrate-1"]["State"], rows["hello-migrate-1"]["ExitCode"]) == ("exited", 0)
    assert rows["hello-web-1"]["Health"] == "healthy"
    states = hello.engine.run("-p", "hello", "logs", "--no-log-prefix", "-t", "migrate", "web").out
    done = next(line for line in states.splitlines() if "migrate: done" in line)
    serving = [line for line in states.splitlines() if "web: serving" in line]
    assert len(serving) == 2
    assert all(line.split()[0] > done.split()[0] for line in serving)


def test_the_store_is_reached_from_its_network_only(hello: Hello) -> None:
    address = hello.inside("store", "hostname", "-i").strip()

    hello.inside("web", "python3", "-c", REACH, "store")
    hello.inside("web", "python3", "-c", REACH, address)
    by_name = hello.run("exec", "-T", "outsider", "python3", "-c", REACH, "store", status=1)
    by_address = hello.run("exec", "-T", "outsider", "python3", "-c", REACH, address, status=1)

    assert "gaierror" in by_name.err
    assert re.search(r"TimeoutError|unreachable|refused", by_address.err)


def test_a_service_without_network_has_none(hello: Hello) -> None:
    assert hello.inside("clock", "ls", "/sys/class/net").split() == ["lo"]


def test_files_configs_secrets_and_variables_are_in_the_container(hello: Hello) -> None:
    assert hello.inside("web", "cat", "/greeting") == "Hello from stackctl\n"
    assert hello.inside("web", "cat", "/run/secrets/token") == (EXAMPLE / "token.txt").read_text(encoding="utf-8")
    assert hello.inside("web", "cat", "/site/index.html") == (EXAMPLE / "site/index.html").read_text(encoding="utf-8")
    assert "TITLE=" in hello.inside("web", "env")
    hello.inside("web", "touch", "/site/new", status=1)
    assert "/run/secrets/token" not in hello.inside("clock", "cat", "/proc/self/mounts")


def test_the_named_volume_survives_down_and_up_and_goes_when_told(resident: Engine, tmp_path: Path) -> None:
    with _copy_of_the_example(resident, tmp_path / "files", "hello-again") as hello:
        before = _visit(hello.page())

        hello.run("down")
        hello.run("up", "-d", "--wait")
        after = _visit(hello.page())
        hello.run("down", "-v")
        hello.run("up", "-d", "--wait")

        assert (before, after, _visit(hello.page())) == (1, 2, 1)
