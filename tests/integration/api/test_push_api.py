"""`docker push` and docker-py's push into Docker's own registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.docker_registry import USER, DockerRegistry, docker_registry
from tests.support.engine import Engine
from tests.support.images import busybox_image, docker_save_archive, files_tar


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """An empty registry for USER only."""
    with docker_registry(tmp_path_factory.mktemp("registry"), user=USER) as found:
        yield found


@pytest.fixture
def name(shared_engine: Engine, docker: Docker, registry: DockerRegistry, tmp_path: Path) -> Iterator[str]:
    """An image of two layers, here under a name of the registry, tags 1 and 2; we are logged in."""
    base = busybox_image()
    own = replace(base, names=("own:1",), layers=(*base.layers, files_tar({"more": b"pushed"})))
    shared_engine.run("image", "load", "-q", "-i", str(docker_save_archive(tmp_path / "own.tar", own)))
    docker.run("login", "-u", USER[0], "--password-stdin", registry.address, stdin=USER[1].encode())
    full = f"{registry.address}/tools/own"
    for tag in "12":
        docker.run("tag", "own:1", f"{full}:{tag}")
    yield full
    docker.run("rmi", "-f", f"{full}:1", f"{full}:2", "own:1", status=None)
    docker.run("logout", registry.address)


def test_what_is_pushed_comes_back_as_it_was(docker: Docker, name: str) -> None:
    (before,) = docker.run("image", "inspect", "own:1").json()
    first = docker.run("push", f"{name}:1").out.splitlines()
    again = docker.run("push", f"{name}:1").out.splitlines()

    assert first[0] == f"The push refers to repository [{name}]"
    assert sum(line.endswith(": Pushed") for line in first) == 2
    assert sum(line.endswith(": Layer already exists") for line in again) == 2
    assert first[-1] == again[-1]
    assert first[-1].startswith("1: digest: sha256:")
    docker.run("rmi", "-f", f"{name}:1", f"{name}:2", "own:1")
    digest = first[-1].split()[2]
    assert f"Digest: {digest}" in docker.run("pull", f"{name}:1").out
    (after,) = docker.run("image", "inspect", f"{name}:1").json()
    assert (after["Id"], after["RootFS"]) == (before["Id"], before["RootFS"])


def test_all_tags_of_a_repository(client: docker_py.DockerClient, docker: Docker, name: str) -> None:
    lines = docker.run("push", "-a", name).out.splitlines()
    assert [line.partition(":")[0] for line in lines if ": digest: " in line] == ["1", "2"]

    messages = list(
        client.api.push(name, tag="2", stream=True, decode=True, auth_config={"username": "me", "password": USER[1]})
    )
    aux = [message["aux"] for message in messages if "aux" in message]
    assert [entry["Tag"] for entry in aux] == ["2"]


def test_who_is_not_let_in_is_told(docker: Docker, name: str, registry: DockerRegistry) -> None:
    docker.run("logout", registry.address)

    assert "push access denied" in docker.run("push", f"{name}:1", status=1).err


def test_what_is_not_here_cannot_be_pushed(docker: Docker, registry: DockerRegistry) -> None:
    assert "No such image" in docker.run("push", f"{registry.address}/nothing:1", status=1).err
    assert "does not exist locally" in docker.run("push", "-a", f"{registry.address}/nothing", status=1).err


def test_stackctl_pushes_what_a_stack_builds(shared_engine: Engine, registry: DockerRegistry, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    name = f"{registry.address}/tools/built"
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true >/made\n", encoding="utf-8")
    built = {"image": f"{name}:1", "build": {"context": ".", "tags": [f"{name}:2"]}}
    services = {"built": built, "other": {"image": "busybox"}, "unnamed": {"build": "."}}
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "pushed", "services": services}), encoding="utf-8")
    shared_engine.run("build", "built", cwd=tmp_path)

    assert "push access denied" in shared_engine.run("push", cwd=tmp_path, env=home, status=1).err
    shared_engine.run("push", "--ignore-push-failures", cwd=tmp_path, env=home)
    shared_engine.run("login", "-u", USER[0], "--password-stdin", registry.address, stdin=USER[1], env=home)
    lines = shared_engine.run("push", cwd=tmp_path, env=home).err.splitlines()
    assert [line for line in lines if line.endswith("Pushed")] == [f" Image {name}:{tag}  Pushed" for tag in "12"]
    digest = shared_engine.run("image", "push", f"{name}:1", env=home).out.split()[1]
    shared_engine.run("image", "rm", f"{name}:1", f"{name}:2")
    assert digest in shared_engine.run("image", "pull", f"{name}:1", env=home).out
    shared_engine.run("image", "rm", f"{name}:1")
