"""Stacks on engines that are not the built-in one, by ``--engine``: Docker's, and our own behind its Docker API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_host import DockerHost
from tests.support.engine import Engine
from tests.support.stack import FOREVER, Stack, free_port, stack_in

_COMPOSE = Path(sys.executable).with_name("docker-compose")
_FILE = """\
name: shop
services:
  web:
    image: busybox
    init: true
    command: httpd -f -p 80 -h /www
    ports: ["127.0.0.1:{port}:80"]
    networks: [front, back]
    environment: {{MODE: "{mode}"}}
    mem_limit: {memory}
    stop_grace_period: 0s
    configs: [{{source: page, target: /www/index.html}}]
    depends_on:
      db: {{condition: service_healthy}}
      job: {{condition: service_completed_successfully}}
  db:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    networks: [back]
    volumes: [data:/data]
    secrets: [pw]
    healthcheck: {{test: [CMD, test, -s, /run/secrets/pw], interval: 0.2s}}
  job: {{image: busybox, command: "true", networks: [back]}}
configs: {{page: {{content: "{page}"}}}}
secrets: {{pw: {{environment: PW}}}}
networks: {{front: , back: }}
volumes: {{data: }}
"""
_VALUES = {"mode": "one", "memory": "64m", "page": "first page"}


@pytest.fixture(scope="module", params=["docker", "own"])
def elsewhere(request: pytest.FixtureRequest, resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Commands with another engine: each in turn."""
    url = request.getfixturevalue("docker_host").url if request.param == "docker" else resident.status()["api"]
    root = tmp_path_factory.mktemp("none") / "root"
    return Engine(root, {"STACKCTL_ENGINE": url, "PW": "secret words"})


@pytest.fixture
def docker_stack(docker_host: DockerHost, tmp_path: Path) -> Iterator[Stack]:
    """A stack on a Docker Engine."""
    own = Engine(tmp_path / "none", {"STACKCTL_ENGINE": docker_host.url, "DOCKER_HOST": docker_host.url})
    with stack_in(own, tmp_path / "stack", "there") as stack:
        yield stack


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def compose(stack: Stack, host: DockerHost, *arguments: str) -> str:
    """Run Docker's own Compose in the stack's folder."""
    argv = [str(_COMPOSE), *arguments]
    environment = {**os.environ, "DOCKER_HOST": host.url}
    done = subprocess.run(argv, cwd=stack.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def changes(stack: Stack, *arguments: str) -> list[tuple[str, str, str]]:
    """Return (name, what becomes of it, why) of all that is not kept."""
    plan = stack.run("plan", "--json", *arguments).json()
    return [
        (change["name"], change["change"], " ".join(reason["text"] for reason in change["reasons"]))
        for change in plan["changes"]
        if change["change"] != "keep"
    ]


def test_a_stack_comes_up_changes_scales_and_goes_down(elsewhere: Engine, tmp_path: Path) -> None:
    port = free_port()
    with stack_in(elsewhere, tmp_path, "shop") as stack:

        def write(**values: str) -> None:
            stack.file.write_text(_FILE.format(port=port, **{**_VALUES, **values}), encoding="utf-8")

        write()
        assert f"http://127.0.0.1:{port}" in stack.run("up", "-d").out
        assert page(port) == "first page"
        assert stack.run("exec", "-T", "db", "cat", "/run/secrets/pw").out == "secret words"
        assert changes(stack) == []

        write(mode="two", page="second page")
        ((name, kind, why),) = changes(stack)
        assert (name, kind) == ("shop-web-1", "replace")
        assert "environment ~MODE" in why
        assert "content of config page changed" in why
        stack.run("up", "-d")
        assert page(port) == "second page"

        write(mode="two", page="second page", memory="96m")
        before = stack.run("ps", "-q", "web").out
        assert [change[:2] for change in changes(stack)] == [("shop-web-1", "update")]
        stack.run("up", "-d", "--scale", "db=2")
        assert (stack.run("ps", "-q", "web").out, changes(stack, "--scale", "db=2")) == (before, [])
        assert stack.states().keys() == {"shop-db-1", "shop-db-2", "shop-job-1", "shop-web-1"}

        stack.run("down", "-v")
        assert (stack.states(), stack.run("volumes", "-q").out) == ({}, "")
        assert [row for row in stack.run("ls", "-a", "--format", "json").json() if row["Name"] == "shop"] == []


def test_what_runs_there_is_reached(docker_host: DockerHost, tmp_path: Path) -> None:
    with stack_in(Engine(tmp_path / "none", {"STACKCTL_ENGINE": docker_host.url}), tmp_path, "reach") as stack:
        web = {"image": "busybox", "command": ["sh", "-c", "echo begun; exec sleep 1000"], "stop_grace_period": "0s"}
        stack.write({"web": {**web, "networks": ["net"]}}, networks={"net": {}})
        stack.run("up", "-d", "--wait")
        assert stack.run("logs", "--no-log-prefix").out == "begun\n"
        assert stack.run("exec", "-T", "web", "sh", "-c", "cat; exit 3", stdin="typed", status=3).out == "typed"
        (tmp_path / "file").write_text("copied", encoding="utf-8")
        stack.run("cp", "file", "web:/tmp/file")
        stack.run("cp", "web:/tmp/file", "back")
        assert (tmp_path / "back").read_text(encoding="utf-8") == "copied"
        assert stack.run("run", "--rm", "-T", "web", "sh", "-c", "cat; exit 4", stdin="in", status=4).out == "in"
        assert "sleep 1000" in stack.run("top").out
        stack.run("stop")
        assert stack.states() == {"reach-web-1": "exited"}
        stack.run("start")
        stack.run("restart", "-t", "0")
        stack.run("kill")
        assert stack.states() == {"reach-web-1": "exited"}
        stack.write({"other": web})
        assert "reach-web-1 still exist" in stack.run("up", "-d").err
        stack.run("up", "-d", "--remove-orphans")
        assert stack.states() == {"reach-other-1": "running"}


def test_hooks_run_until_they_have_ended_well(docker_stack: Stack) -> None:
    hook = "test -e /ready && echo ran >> /ran"
    lifted = {"post_start": [{"command": ["sh", "-c", hook]}], "pre_stop": [{"command": ["false"]}]}
    docker_stack.write({"web": {**FOREVER, **lifted}})
    failed = docker_stack.run("up", "-d", status=1).err
    assert "error[hook-failed]" in failed
    assert changes(docker_stack) == [("there-web-1", "start", "post_start has not run to its end")]
    docker_stack.run("exec", "-T", "web", "touch", "/ready")
    docker_stack.run("up", "-d")
    assert changes(docker_stack) == []
    assert docker_stack.run("exec", "-T", "web", "cat", "/ran").out == "ran\n"
    assert "pre_stop: false ended with exit code 1" in docker_stack.run("stop").err


def test_configs_get_into_a_container_whose_files_are_read_only(docker_stack: Stack, docker_host: DockerHost) -> None:
    content = {"configs": {"c": {"content": "config"}}, "secrets": {"s": {"file": "./s"}}}
    (docker_stack.folder / "s").write_text("secret", encoding="utf-8")
    uses = {"configs": [{"source": "c", "target": "/etc/app/c"}], "secrets": ["s"]}
    docker_stack.write({"web": {**FOREVER, "read_only": True, **uses}}, **content)
    docker_stack.run("up", "-d")
    assert docker_stack.run("exec", "-T", "web", "cat", "/etc/app/c", "/run/secrets/s").out == "configsecret"
    docker_stack.run("exec", "-T", "web", "touch", "/x", status=1)
    docker_stack.write({"web": {**FOREVER, "read_only": True, "configs": ["c"]}}, **content)
    assert "error[read-only-content]" in docker_stack.run("up", "-d", status=1).err
    docker_stack.run("down")
    assert docker_host.docker("volume", "ls", "-q") == ""


def test_docker_compose_sees_the_stack_and_takes_it_down(docker_stack: Stack, docker_host: DockerHost) -> None:
    docker_stack.write({"web": FOREVER})
    docker_stack.run("up", "-d")

    (row,) = [json.loads(line) for line in compose(docker_stack, docker_host, "ps", "--format", "json").splitlines()]
    assert (row["Name"], row["Service"], row["State"]) == ("there-web-1", "web", "running")
    compose(docker_stack, docker_host, "down")
    assert "there" not in docker_host.docker("ps", "-a", "--format", "{{.Names}}")
    assert "there" not in docker_host.docker("network", "ls", "--format", "{{.Name}}")


def test_a_stack_that_docker_compose_made_is_taken_over(docker_stack: Stack, docker_host: DockerHost) -> None:
    docker_stack.write({"web": {**FOREVER, "init": True}})
    compose(docker_stack, docker_host, "up", "-d")
    assert changes(docker_stack) == [("there-web-1", "replace", "its configuration changed")]
    docker_stack.run("up", "-d")
    assert changes(docker_stack) == []


def test_what_docker_refuses_is_told_with_its_line(docker_stack: Stack) -> None:
    port = f"127.0.0.1:{free_port()}:80"
    docker_stack.write(
        {
            "holder": {**FOREVER, "ports": [port]},
            "late": {**FOREVER, "ports": [port], "depends_on": ["holder"]},
            "odd": {**FOREVER, "command": "no-such-command"},
            "nobody": {**FOREVER, "user": "nobody-here"},
        }
    )
    error = docker_stack.run("up", "-d", status=1).err
    for code, line in (
        ("port-taken", f'"{port}"'),
        ("command-not-found", '"command": "no-such-command"'),
        ("user-not-found", '"user": "nobody-here"'),
    ):
        told = next(part for part in error.split("error[") if part.startswith(f"{code}]"))
        assert line in told


def test_images_that_cannot_be_had_are_told_before_anything_is_done(docker_stack: Stack) -> None:
    docker_stack.write({"far": {"image": "127.0.0.1:1/gone"}, "ours": {"image": "host"}})
    error = docker_stack.run("up", "-d", status=1).err
    assert error.count("error[image-not-found]") == 2
    assert "hint: where only the engine reaches that registry, pull first" in error
    assert "the image host is the machine that the built-in engine runs on" in error
    assert docker_stack.states() == {}


def test_more_replicas_than_ports_are_refused_before_anything_is_done(docker_stack: Stack) -> None:
    docker_stack.write({"web": {"image": "busybox", "ports": ["8080:80"], "deploy": {"replicas": 2}}})
    error = docker_stack.run("up", "-d", status=1).err
    assert "error[port-range-too-small]" in error
    assert "hint: publish a range, 8080-8081" in error
    assert docker_stack.states() == {}


def test_an_image_is_built_there(docker_stack: Stack) -> None:
    (docker_stack.folder / "Dockerfile").write_text("FROM busybox\nCOPY it /it\n", encoding="utf-8")
    (docker_stack.folder / "it").write_text("content", encoding="utf-8")
    docker_stack.write({"web": {"build": {"context": "."}, "command": "cat /it"}})
    said = docker_stack.run("build").err
    assert "COPY it /it" in said
    assert docker_stack.run("run", "--rm", "-T", "web").out == "content"
    (docker_stack.folder / "Dockerfile").write_text("FROM busybox\nRUN echo why; exit 3\n", encoding="utf-8")
    assert "error[build-step-failed]" in docker_stack.run("build", status=1).err


def test_commands_about_the_built_in_engine_refuse_another(docker_stack: Stack) -> None:
    assert "error[engine-not-ours]" in docker_stack.run("engine", "stop", status=1).err
