"""What Docker's clients ask an engine about itself."""

from __future__ import annotations

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker


def test_docker_version_and_info_show_the_engine(docker: Docker) -> None:
    version = docker.run("version", "--format", "{{json .Server}}").json()
    info = docker.run("info", "--format", "{{json .}}").json()

    assert version["Platform"]["Name"] == "stackctl"
    assert (version["ApiVersion"], version["MinAPIVersion"]) == ("1.51", "1.24")
    assert version["Components"][0]["Details"]["Os"] == "linux"
    assert info["ServerVersion"] == version["Version"]
    assert info["Images"] == 1
    assert info["MemTotal"] > 1 << 28
    assert info["NCPU"] >= 1
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    assert "ERROR" not in docker.run("info").out


def test_docker_py_finds_its_version(client: docker_py.DockerClient) -> None:
    assert client.ping()
    assert client.api.api_version == "1.51"
    assert client.info()["OSType"] == "linux"
    assert client.plugins.list() == []


@pytest.mark.parametrize("words", [("node", "ls"), ("service", "ls"), ("stack", "ls"), ("swarm", "ca")])
def test_there_is_no_swarm(docker: Docker, words: tuple[str, ...]) -> None:
    assert "This node is not a swarm manager" in docker.run(*words, status=1).err


def test_what_is_not_there_is_looked_for_everywhere(docker: Docker) -> None:
    assert "No such object: nowhere" in docker.run("inspect", "nowhere", status=1).err
