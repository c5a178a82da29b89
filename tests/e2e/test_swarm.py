"""Stacks on a Docker Swarm, by ``--engine swarm+URL``: from the first plan to down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_host import DockerHost
from tests.support.engine import Engine
from tests.support.stack import Stack, stack_in

_FILE = """\
name: {name}
services:
  web:
    image: busybox:latest
    command: [sh, -c, "cat /motd; exec sleep 1000"]
    init: true
    stop_grace_period: 0s
    environment: {{MODE: "{mode}"}}
    configs: [motd]
    deploy: {{endpoint_mode: dnsrr, replicas: {replicas}, update_config: {{monitor: 100ms, order: start-first}}}}
configs: {{motd: {{content: "{motd}\\n"}}}}
"""
_VALUES = {"mode": "a", "replicas": 1, "motd": "hello"}


@pytest.fixture
def stack(swarm_host: DockerHost, tmp_path: Path) -> Iterator[Stack]:
    """A stack on a Swarm of one machine."""
    own = Engine(tmp_path / "none", {"STACKCTL_ENGINE": f"swarm+{swarm_host.url}"})
    with stack_in(own, tmp_path / "stack", "swarmed") as stack:
        yield stack


def write(stack: Stack, **values: object) -> None:
    stack.file.write_text(_FILE.format(name=stack.name, **{**_VALUES, **values}), encoding="utf-8")


def test_a_stack_goes_up_changes_and_goes_down(stack: Stack, swarm_host: DockerHost) -> None:
    write(stack)
    planned = stack.run("plan")
    assert "+ service swarmed_web  (create)" in planned.out
    assert "warning[image-not-pinned]" in planned.err
    done = stack.run("--progress", "plain", "up", "-d", "--wait")
    assert "Service swarmed_web  Healthy" in done.err + done.out
    assert stack.run("plan").out == "Stack swarmed: nothing to do.\n"
    assert [row["Name"] for row in stack.run("ps", "--format", "json").rows()] == ["swarmed_web.1"]
    assert json.loads(stack.run("ls", "--format", "json").out)[0]["Status"] == "running(1)"
    assert stack.run("logs", "web", "--no-log-prefix").out == "hello\n"
    assert "swarmed_web.1" in swarm_host.docker("stack", "ps", "swarmed")

    write(stack, mode="b", motd="bye", replicas=1)
    planned = stack.run("plan")
    assert "environment ~MODE" in planned.out and "content of the config at /motd changed" in planned.out
    stack.run("up", "-d", "--wait")
    assert stack.run("logs", "web", "--no-log-prefix").out == "bye\n"

    stack.run("down")
    assert swarm_host.docker("service", "ls", "-q") == swarm_host.docker("config", "ls", "-q") == ""


def test_what_a_swarm_has_no_words_for_is_told_with_its_line(stack: Stack) -> None:
    write(stack)
    text = stack.file.read_text(encoding="utf-8").replace("init: true", "privileged: true\n    container_name: front")
    stack.file.write_text(text, encoding="utf-8")
    said = stack.run("plan", status=1).err
    assert "error[unsupported-key]" in said and "compose.yaml:6:17" in said
    assert "`services.web.container_name` has no effect: tasks are named by the engine" in said


def test_what_no_machine_fulfils_is_told_before_anything_is_done(stack: Stack) -> None:
    write(stack)
    text = stack.file.read_text(encoding="utf-8")
    text = text.replace("{endpoint_mode: dnsrr", "{placement: {constraints: [node.labels.disk==ssd]}")
    stack.file.write_text(text, encoding="utf-8")
    done = stack.run("up", "-d", status=1)
    assert "error[placement-impossible]" in done.err and "fulfils node.labels.disk==ssd" in done.err
    assert stack.run("ps", "-q").out == ""


def test_an_engine_in_no_swarm_is_told_so(docker_host: DockerHost, tmp_path: Path) -> None:
    alone = Engine(tmp_path / "none", {"STACKCTL_ENGINE": f"swarm+{docker_host.url}"})
    assert "error[not-a-manager]" in alone.run("ls", status=1).err
