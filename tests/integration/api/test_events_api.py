"""Events reach whoever listens: Docker's command line, docker-py, and `stackctl events`."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine, end, wait_until
from tests.support.stack import FOREVER, Stack, stack_in


@pytest.fixture
def stack(request: pytest.FixtureRequest, shared_engine: Engine, tmp_path: Path) -> Iterator[Stack]:
    """A stack of this test's own."""
    name = request.node.name.removeprefix("test_").partition("[")[0].replace("_", "-")[:30].rstrip("-")
    with stack_in(shared_engine, tmp_path / "stack", name) as own:
        yield own


def _lines_until(process: subprocess.Popen[bytes], is_last: Callable[[str], bool]) -> list[str]:
    assert process.stdout is not None
    deadline = time.monotonic() + 20
    text = b""
    while not (text.endswith(b"\n") and any(is_last(line) for line in text.decode().splitlines())):
        ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        assert ready, text.decode()
        text += os.read(process.stdout.fileno(), 1 << 16)
    return [line for line in text.decode().splitlines() if line]


def _listening(engine: Engine, docker: Docker) -> int:
    assert engine
    return int(docker.run("info", "--format", "{{.NEventsListener}}").out)


def _since(docker: Docker, moment: float, *filters: str) -> list[dict[str, Any]]:
    words = [word for one in filters for word in ("--filter", one)]
    rows = docker.run(
        "events", "--since", f"{moment:.9f}", "--until", f"{time.time():.9f}", "--format", "{{json .}}", *words
    ).rows()
    return [dict(row) for row in rows]


def _said(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['Type']} {event['Action']}" for event in events]


def test_the_life_of_a_container_is_told_as_it_happens(stack: Stack, docker: Docker) -> None:
    stack.write({"it": FOREVER})
    listener = docker.start("events", "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}")
    try:
        wait_until("docker listens", lambda: _listening(stack.engine, docker) == 1)
        stack.run("up", "-d")
        stack.run("exec", "-T", "it", "true")
        stack.run("down")
        lines = _lines_until(listener, lambda line: line.startswith("network destroy"))
    finally:
        end(listener)

    assert [line.replace(stack.name, "S") for line in lines] == [
        "network create S_default",
        "container create S-it-1",
        "network connect S_default",
        "container start S-it-1",
        "container exec_create: true S-it-1",
        "container exec_start: true S-it-1",
        "container exec_die S-it-1",
        "container kill S-it-1",
        "container kill S-it-1",
        "network disconnect S_default",
        "container stop S-it-1",
        "container die S-it-1",
        "container destroy S-it-1",
        "network destroy S_default",
    ]


def test_what_happens_by_itself_is_told_too(stack: Stack, docker: Docker) -> None:
    moment = time.time()
    stack.write(
        {
            "ends": {"image": "busybox", "command": ["sh", "-c", "exit 7"]},
            "sick": {**FOREVER, "healthcheck": {"test": ["CMD", "true"], "interval": "10s"}},
            "killed": FOREVER,
        }
    )
    stack.run("up", "-d")
    pid = int(docker.run("inspect", "-f", "{{.State.Pid}}", f"{stack.name}-killed-1").out)
    os.kill(pid, signal.SIGKILL)

    def deaths() -> dict[str, str]:
        found = _since(docker, moment, "event=die")
        return {event["Actor"]["Attributes"]["name"]: event["Actor"]["Attributes"]["exitCode"] for event in found}

    wanted = {f"{stack.name}-ends-1": "7", f"{stack.name}-killed-1": "137"}
    wait_until("both deaths are told", lambda: deaths() == wanted)
    healthy = wait_until("health is told", lambda: _since(docker, moment, "event=health_status"))
    assert _said(healthy) == ["container health_status: healthy"]


@pytest.mark.changes_shared_engine
def test_a_daemon_that_was_killed_still_knows_what_the_supervisor_saw(stack: Stack, docker: Docker) -> None:
    moment = time.time()
    stack.write({"it": {"image": "busybox", "command": "true"}})
    stack.run("up", "-d")
    wait_until("its end is told", lambda: _since(docker, moment, "event=die"))
    before = _said(_since(docker, moment))
    daemon = stack.engine.pid("daemon")

    os.kill(daemon, signal.SIGKILL)
    wait_until("another daemon serves", lambda: stack.engine.pid("daemon") != daemon)

    wait_until("it has heard all of it", lambda: _said(_since(docker, moment)) == before)


def test_filters_choose(stack: Stack, docker: Docker) -> None:
    moment = time.time()
    stack.write({"it": {"image": "busybox", "command": "true", "labels": {"colour": "red"}}, "other": FOREVER})
    stack.run("up", "-d")
    name = f"{stack.name}-it-1"
    wait_until("it has ended", lambda: _since(docker, moment, f"container={name}", "event=die"))

    assert _said(_since(docker, moment, f"container={name}")) == [
        "container create",
        "container start",
        "container die",
    ]
    assert _said(_since(docker, moment, "label=colour=red", "event=start")) == ["container start"]
    assert _said(_since(docker, moment, "label=colour=blue")) == []
    assert _said(_since(docker, moment, "type=network", "event=create")) == ["network create"]
    assert _said(_since(docker, moment, f"network={stack.name}_default", "event=connect")) == ["network connect"] * 2
    assert len(_since(docker, moment, "image=busybox", "event=create", "event=start")) == 4


def test_volumes_and_images_are_told_of(docker: Docker, client: docker_py.DockerClient, busybox_archive: Path) -> None:
    moment = time.time()
    docker.run("tag", "busybox", "told:1")
    docker.run("rmi", "told:1")
    docker.run("load", "-q", "-i", str(busybox_archive))

    assert _said(_since(docker, moment, "type=image")) == ["image tag", "image untag", "image load"]
    (event,) = client.events(since=int(moment), until=int(time.time()) + 1, filters={"event": "tag"}, decode=True)
    assert event["Actor"]["Attributes"]["name"] == "told:1"


def test_times_that_make_no_sense_are_refused(docker: Docker) -> None:
    wrong = docker.run("events", "--since", "2000", "--until", "1000", status=1)

    assert "cannot be after" in wrong.err


@pytest.fixture
def lived(stack: Stack) -> Stack:
    """A stack of which a container has lived and gone."""
    stack.write({"it": {"image": "busybox", "command": "true"}, "other": {"image": "busybox", "command": "true"}})
    stack.run("up", "-d")
    stack.run("down")
    return stack


def test_stackctl_events_shows_a_stack_in_compose_s_words(lived: Stack) -> None:
    found = lived.run("events", "--since", "1m", "--until", "0s", "it").out.splitlines()

    assert found[1::2] == [""] * (len(found) // 2)
    form = (
        r"[-\d]{10} [:\d]{8}\.\d{6} container (\w+) [0-9a-f]{64} \((?:execDuration=\d+, exitCode=0, )?image=busybox, "
    )
    actions = [re.match(form + rf"name={lived.name}-it-1\)$", line) for line in found[::2]]
    assert [match and match[1] for match in actions] == ["create", "start", "die", "destroy"]


def test_and_as_json(lived: Stack) -> None:
    rows = lived.run("events", "--json", "--since", "1m", "--until", "0s").rows()

    assert {row["service"] for row in rows} == {"it", "other"}
    first = rows[0]
    assert list(first) == ["action", "attributes", "id", "service", "time", "type"]
    assert first["attributes"]["image"] == "busybox"
    assert json.dumps(first["attributes"]).count("com.docker.compose") == 0


def test_an_unknown_service_has_no_events(lived: Stack) -> None:
    assert "no such service: nope" in lived.run("events", "nope", status=1).err
