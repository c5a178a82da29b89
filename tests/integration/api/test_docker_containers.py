"""The life of containers by Docker's own command line: made, listed, changed, paused, stopped, removed."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import wait_until
from tests.support.ports import free_port


@pytest.fixture(scope="module", autouse=True)
def _made_once(docker: Docker) -> None:
    """What an engine makes with its first container on the default network."""
    docker.run("run", "--rm", "busybox", "true")


@pytest.fixture
def web(docker: Docker) -> Iterator[str]:
    """A running container with a volume, a port and a health check."""
    script = "echo up; echo oops >&2; trap exit TERM; while :; do sleep 0.1; done"
    options = ["-v", "vol1:/data", "-e", "A=b", "-l", "who=me", "-p", f"127.0.0.1:{free_port()}:80", "--init"]
    health = ["--health-cmd", "test -e /data", "--health-interval", "1s", "--restart", "unless-stopped"]
    docker.run("run", "-d", "--name", "web", *options, *health, "busybox", "sh", "-c", script)
    try:
        yield "web"
    finally:
        docker.run("rm", "-f", "-v", "web", status=None)
        docker.run("rm", "-f", "-v", "other", status=None)


def _inspect(docker: Docker, name: str) -> Any:
    return json.loads(docker.run("inspect", name).out)[0]


def _state(docker: Docker, name: str) -> str:
    return docker.run("inspect", "-f", "{{.State.Status}}", name).out.strip()


def test_what_was_asked_for_is_told_back(docker: Docker, web: str) -> None:
    wait_until("it is healthy", lambda: _inspect(docker, web)["State"]["Health"]["Status"] == "healthy")
    found = _inspect(docker, web)

    assert "A=b" in found["Config"]["Env"]
    assert found["Config"]["Labels"]["who"] == "me"
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["HostConfig"]["NetworkMode"] == "bridge"
    assert found["Mounts"][0]["Name"] == "vol1"
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert docker.run("port", web, "80").out.startswith("127.0.0.1:")
    listed = docker.run("ps", "--filter", "label=who=me", "--format", "{{.Names}} {{.Status}} {{.Image}}").out
    assert listed.startswith("web Up ")
    assert "(healthy) busybox" in listed
    assert docker.run("ps", "-q", "--filter", "name=nobody").out == ""


def test_both_streams_are_logged_apart(docker: Docker, web: str) -> None:
    logs = wait_until("both lines are there", lambda: _both(docker, web))

    assert logs == ("up\n", "oops\n")
    assert docker.run("logs", "--tail", "0", web).out == ""
    stamped = docker.run("logs", "-t", web).out
    assert stamped.endswith("Z up\n")
    assert "sleep" in docker.run("top", web).out


def _both(docker: Docker, name: str) -> tuple[str, str] | None:
    ran = docker.run("logs", name)
    return (ran.out, ran.err) if ran.out and ran.err else None


def test_a_paused_container_stands_still_until_it_is_let_go_on(docker: Docker, web: str) -> None:
    docker.run("pause", web)

    assert _state(docker, web) == "paused"
    assert "(Paused)" in docker.run("ps", "--format", "{{.Status}}").out
    assert "paused" in docker.run("exec", web, "true", status=1).err
    assert "already paused" in docker.run("pause", web, status=1).err
    docker.run("unpause", web)
    assert docker.run("exec", web, "echo", "on").out == "on\n"
    assert "not paused" in docker.run("unpause", web, status=1).err

    docker.run("pause", web)
    docker.run("stop", web)
    assert _state(docker, web) == "exited"


def test_stop_start_restart_kill_and_wait(docker: Docker, web: str) -> None:
    first = _inspect(docker, web)["State"]["Pid"]
    docker.run("restart", web)
    assert _inspect(docker, web)["State"]["Pid"] not in (0, first)
    docker.run("kill", web)
    assert _state(docker, web) == "exited"
    assert _inspect(docker, web)["State"]["ExitCode"] == 137
    docker.run("start", web)
    docker.run("start", web)
    waiting = docker.start("wait", web)
    docker.run("stop", web)
    assert waiting.communicate(timeout=20)[0] == b"0\n"
    docker.run("stop", web)
    assert "not running" in docker.run("kill", web, status=1).err


def test_renamed_and_updated_it_runs_on(docker: Docker, web: str) -> None:
    pid = _inspect(docker, web)["State"]["Pid"]
    docker.run("rename", web, "other")
    docker.run("update", "--memory", "64m", "--memory-swap", "64m", "--restart", "no", "other")
    found = _inspect(docker, "other")

    assert found["State"]["Pid"] == pid
    assert found["HostConfig"]["Memory"] == 64 << 20
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert "already in use" in docker.run("run", "--name", "other", "busybox", "true", status=125).err


def test_a_running_container_is_removed_by_force_only(docker: Docker, web: str) -> None:
    assert "is running" in docker.run("rm", web, status=1).err
    docker.run("rm", "-f", "-v", web)

    assert "No such container" in docker.run("rm", web, status=1).err
    assert docker.run("rm", "-f", web).status == 0


def test_only_anonymous_volumes_go_with_the_container(docker: Docker) -> None:
    docker.run("run", "--rm", "-v", "/anonymous", "-v", "kept:/kept", "busybox", "touch", "/kept/x")

    volumes = docker.run("run", "--rm", "-v", "kept:/kept", "busybox", "ls", "/kept").out
    assert volumes == "x\n"


def test_networks_share_names_and_the_other_modes_are_as_they_are_called(docker: Docker, web: str) -> None:
    assert docker.run("run", "--rm", "busybox", "ping", "-c1", "-W2", web).status == 0
    for mode, links in ((f"container:{web}", ["eth0", "lo"]), ("none", ["lo"])):
        assert docker.run("run", "--rm", "--network", mode, "busybox", "ls", "/sys/class/net").out.split() == links
    docker.run("run", "--rm", "--network", "host", "busybox", "true")


def test_sizes_columns_of_ps_and_the_root_as_an_archive(docker: Docker, web: str, tmp_path: Path) -> None:
    docker.run("exec", web, "sh", "-c", "head -c 300000 /dev/zero > /made; echo x > /data/not-in-the-root")

    assert docker.run("ps", "-s", "--format", "{{.Size}}").out.startswith("300kB (virtual")
    top = docker.run("top", web, "-o", "pid,comm").out.split()
    assert top[:2] == ["PID", "COMMAND"]
    assert "not supported" in docker.run("top", web, "--forest", status=1).err
    docker.run("export", "-o", str(tmp_path / "root.tar"), web)
    with tarfile.open(tmp_path / "root.tar") as tar:
        names = tar.getnames()
        assert tar.getmember("made").size == 300_000
    assert "bin/busybox" in names
    assert not any(name.startswith(("proc/", "data/")) for name in names)


def test_prune_removes_what_does_not_run(docker: Docker, web: str) -> None:
    docker.run("create", "--name", "other", "--label", "old", "busybox", "true")

    assert docker.run("container", "prune", "-f", "--filter", "label=new").out.startswith("Total reclaimed space")
    assert docker.run("container", "prune", "-f", "--filter", "until=1h").out.startswith("Total reclaimed space")
    docker.run("container", "prune", "-f", "--filter", "label=old")
    assert docker.run("ps", "-a", "--format", "{{.Names}}").out == f"{web}\n"


def test_dockers_socket_in_a_container_is_ours(docker: Docker) -> None:
    """The image `host` has what this machine has, Docker's command line among it."""
    socket = "/var/run/docker.sock"
    options = ["-v", f"{socket}:{socket}", "-e", f"DOCKER_HOST=unix://{socket}", "--name", "inside"]

    ran = docker.run("run", "--rm", *options, "host", docker.program, "ps", "--format", "{{.Names}}")

    assert ran.out == "inside\n"
    assert not os.path.isdir(socket)
