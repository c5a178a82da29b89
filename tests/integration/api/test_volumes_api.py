"""`docker volume` and docker-py's volumes."""

from __future__ import annotations

from pathlib import Path

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine
from tests.support.stack import stack_in


def _names(docker: Docker, *options: str) -> list[str]:
    return docker.run("volume", "ls", "-q", *options).out.split()


def test_a_volume_is_made_listed_shown_and_removed(docker: Docker, tmp_path: Path) -> None:
    docker.run("volume", "create", "--label", "a=b", "made")
    docker.run("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", "bound")
    made, bound = docker.run("volume", "inspect", "made", "bound").json()

    assert (made["Labels"], made["Driver"], made["Scope"], made["Options"]) == ({"a": "b"}, "local", "local", None)
    assert Path(made["Mountpoint"]).is_dir()
    assert (bound["Mountpoint"], bound["Options"]["o"]) == (str(tmp_path), "bind")
    assert set(_names(docker)) == {"bound", "made"}
    assert docker.run("volume", "create", "made").out == "made\n"
    docker.run("volume", "rm", "made", "bound")
    assert _names(docker) == []
    assert tmp_path.is_dir()


def test_without_a_name_it_gets_one(docker: Docker) -> None:
    name = docker.run("volume", "create").out.strip()

    assert len(name) == 64
    assert docker.run("volume", "inspect", "-f", "{{json .Labels}}", name).json() == {"com.docker.volume.anonymous": ""}
    docker.run("volume", "rm", name)


def test_filters_choose_and_prune_takes_anonymous_ones_first(docker: Docker, client: docker_py.DockerClient) -> None:
    docker.run("volume", "create", "--label", "colour=red", "named")
    anonymous = docker.run("volume", "create").out.strip()

    assert _names(docker, "--filter", "label=colour=red") == ["named"]
    assert _names(docker, "--filter", "name=ame") == ["named"]
    assert set(_names(docker, "--filter", "dangling=true")) == {"named", anonymous}
    assert _names(docker, "--filter", "dangling=false") == []
    assert client.volumes.prune()["VolumesDeleted"] == [anonymous]
    assert _names(docker) == ["named"]
    assert client.volumes.prune(filters={"all": True, "label": "colour=blue"})["VolumesDeleted"] is None
    assert client.volumes.prune(filters={"all": True, "label": "colour=red"})["VolumesDeleted"] == ["named"]
    assert docker.run("volume", "prune", "-f").out == "Total reclaimed space: 0B\n"


def test_old_clients_prune_takes_all(docker: Docker, shared_engine: Engine) -> None:
    docker.run("volume", "create", "named")
    old = docker_py.DockerClient(base_url=str(shared_engine.status()["api"]), version="1.41")

    assert old.volumes.prune()["VolumesDeleted"] == ["named"]
    old.close()


def test_a_volume_in_use_stays(docker: Docker, shared_engine: Engine, tmp_path: Path) -> None:
    docker.run("volume", "create", "outside")
    with stack_in(shared_engine, tmp_path / "stack", "using") as stack:
        it = {"image": "busybox", "command": "sh -c 'echo kept > /data/f'", "volumes": ["outside:/data"]}
        stack.write({"it": it}, volumes={"outside": {"external": True}})
        stack.run("up", "-d", "--wait", status=None)
        assert "volume is in use" in docker.run("volume", "rm", "outside", status=1).err
        assert "volume is in use" in docker.run("volume", "rm", "-f", "outside", status=1).err
        assert _names(docker, "--filter", "dangling=false") == ["outside"]
        stack.run("down", "-v")
    assert _names(docker) == ["outside"]
    docker.run("volume", "rm", "outside")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "a/b"), "includes invalid characters for a local volume name"),
        (("create", "--driver", "nfs", "xx"), 'plugin "nfs" not found'),
        (("create", "-o", "type=nfs", "-o", "device=:/x", "xx"), "does not say where its server is"),
        (("inspect", "nowhere"), "o such volume"),
        (("rm", "nowhere"), "o such volume"),
    ],
)
def test_what_cannot_be_is_refused(docker: Docker, words: tuple[str, ...], message: str) -> None:
    assert message in docker.run("volume", *words, status=1).err


def test_docker_py_makes_and_finds_volumes(client: docker_py.DockerClient) -> None:
    made = client.volumes.create("dp", labels={"k": "v"})

    assert [volume.id for volume in client.volumes.list(filters={"name": "dp"})] == ["dp"]
    assert client.volumes.get("dp").attrs["Labels"] == {"k": "v"}
    made.remove()
    with pytest.raises(docker_py.errors.NotFound):
        client.volumes.get("dp")
    assert client.volumes.prune()["SpaceReclaimed"] == 0
