"""`docker pull` and docker-py's pull, from Docker's own registry and from one that lets in who has a login."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.docker_registry import USER, DockerRegistry, docker_registry
from tests.support.images import Image, busybox_image, files_tar
from tests.support.registry import Registry, Told, serving


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry with ``tools/box:1``."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as found:
        found.push(busybox_image(files={"pulled": b"yes"}), "tools/box:1")
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """The same, for USER only."""
    with docker_registry(tmp_path_factory.mktemp("closed"), user=USER) as found:
        found.push(busybox_image(files={"pulled": b"yes"}), "tools/box:1")
        yield found


@pytest.fixture
def name(docker: Docker, registry: DockerRegistry) -> Iterator[str]:
    """A name to pull, not here before or after."""
    found = f"{registry.address}/tools/box:1"
    yield found
    docker.run("rmi", "-f", found, status=None)


def test_docker_pull_says_what_comes_and_then_that_it_is_here(docker: Docker, name: str) -> None:
    first = docker.run("pull", name).out.splitlines()
    again = docker.run("pull", name).out.splitlines()

    assert first[0] == "1: Pulling from tools/box"
    assert any(line.endswith(": Pull complete") for line in first)
    assert first[-3].startswith("Digest: sha256:")
    assert first[-2:] == [f"Status: Downloaded newer image for {name}", name]
    assert again[0] == first[0]
    assert again[-2:] == [f"Status: Image is up to date for {name}", name]
    assert docker.run("pull", "-q", name).out == f"{name}\n"


def test_docker_py_follows_a_pull(client: docker_py.DockerClient, name: str) -> None:
    messages = list(client.api.pull(name, stream=True, decode=True))
    image = client.images.pull(name)

    assert messages[0] == {"status": "Pulling from tools/box", "id": "1"}
    statuses = [message["status"] for message in messages]
    assert "Pulling fs layer" in statuses or "Already exists" in statuses
    counted = [m for m in messages if m["status"] == "Downloading"]
    assert all(m["progressDetail"]["total"] >= m["progressDetail"]["current"] > 0 for m in counted)
    assert image.tags == [name]


def test_by_digest(docker: Docker, registry: DockerRegistry, name: str) -> None:
    digest = docker.run("pull", name).out.splitlines()[-3].removeprefix("Digest: ")
    docker.run("rmi", name)

    pulled = f"{registry.address}/tools/box@{digest}"
    assert docker.run("pull", pulled).out.splitlines()[0] == f"{digest}: Pulling from tools/box"
    assert "Deleted: sha256:" in docker.run("rmi", pulled).out


def test_what_is_not_in_the_registry_is_not_found(
    docker: Docker, client: docker_py.DockerClient, registry: DockerRegistry
) -> None:
    missing = f"{registry.address}/tools/box:none"

    assert "is not in the registry" in docker.run("pull", missing, status=1).err
    with pytest.raises(docker_py.errors.NotFound):
        client.images.pull(missing)
    assert "invalid" in docker.run("pull", f"{registry.address}/tools/BOX", status=1).err
    assert "all tags" in docker.run("pull", "-a", f"{registry.address}/tools/box", status=1).err


def test_a_login_lets_a_pull_in(docker: Docker, closed: DockerRegistry) -> None:
    name = f"{closed.address}/tools/box:1"

    assert "pull access denied" in docker.run("pull", name, status=1).err
    words = ("login", "-u", USER[0], "--password-stdin", closed.address)
    assert "refuses the login" in docker.run(*words, stdin=b"wrong", status=1).err
    assert "Login Succeeded" in docker.run(*words, stdin=USER[1].encode()).out
    docker.run("pull", name)
    docker.run("logout", closed.address)
    docker.run("rmi", name)
    assert "pull access denied" in docker.run("pull", name, status=1).err


def test_a_failure_in_the_middle_is_understood(docker: Docker, client: docker_py.DockerClient) -> None:
    with serving(Registry()) as registry:
        registry.put(Image((files_tar({"a": b"1"}),)))
        registry.trick = lambda asked: Told(200, b"x" * 10240) if asked.path.endswith(_layer(registry)) else None

        refused = docker.run("pull", f"{registry.address}/app:1", status=1).err
        assert "unmarshal" not in refused
        assert _layer(registry)[:19] in refused
        *_, last = client.api.pull(f"{registry.address}/app", tag="1", stream=True, decode=True)
        assert last["errorDetail"] == {"message": last["error"]}


def _layer(registry: Registry) -> str:
    kind, body = registry.manifests["app", "1"]
    assert kind
    digest: str = json.loads(body)["layers"][0]["digest"]
    return digest
