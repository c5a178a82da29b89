"""Docker's clients and the images that are here: listed, shown, named, saved, loaded, removed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine
from tests.support.images import busybox_image, docker_save_archive, files_tar


@pytest.fixture(autouse=True)
def _only_busybox(docker: Docker) -> Iterator[None]:
    yield
    names = docker.run("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    for name in names:
        if name not in ("busybox:latest", "host:latest", "<none>:<none>"):
            docker.run("rmi", "-f", name)
    docker.run("image", "prune", "-f")


def _names(docker: Docker, *options: str) -> list[str]:
    return docker.run("images", "--format", "{{.Repository}}:{{.Tag}}", *options).out.split()


def test_images_are_listed_shown_and_told_how_they_were_made(docker: Docker) -> None:
    (shown,) = docker.run("image", "inspect", "busybox").json()

    assert "busybox:latest" in _names(docker)
    assert docker.run("images", "-q", "--no-trunc", "busybox").out.strip() == shown["Id"]
    assert shown["RepoTags"] == ["busybox:latest"]
    assert shown["Os"] == "linux"
    assert shown["RootFS"]["Type"] == "layers"
    assert docker.run("history", "-q", "--no-trunc", "busybox").out.split()[0] == shown["Id"]
    assert docker.run("inspect", "--type", "image", "-f", "{{.Id}}", shown["Id"][7:19]).out.strip() == shown["Id"]


def test_tags_come_and_go_and_the_image_with_the_last(docker: Docker, tmp_path: Path) -> None:
    _load(docker, tmp_path, "own:1")
    docker.run("tag", "own:1", "lan:5000/own:2")
    image_id = docker.run("images", "-q", "--no-trunc", "own").out.strip()

    assert (
        "(must be forced) - image is referenced in multiple repositories" in docker.run("rmi", image_id, status=1).err
    )
    assert docker.run("rmi", "own:1").out == "Untagged: own:1\n"
    assert f"Deleted: {image_id}" in docker.run("rmi", "lan:5000/own:2").out
    assert "No such image: own:1" in docker.run("rmi", "own:1", status=1).err
    assert "No such image: nowhere:latest" in docker.run("tag", "nowhere", "x:1", status=1).err


def test_filters_choose(docker: Docker, tmp_path: Path) -> None:
    _load(docker, tmp_path, "tools/own:1", "tools/own:2", Labels={"colour": "red"})

    assert _names(docker, "tools/*") == ["tools/own:1", "tools/own:2"]
    assert _names(docker, "tools/own:2") == ["tools/own:2"]
    assert _names(docker, "*") == [name for name in _names(docker) if "/" not in name]
    assert _names(docker, "--filter", "label=colour=red") == ["tools/own:1", "tools/own:2"]
    assert _names(docker, "--filter", "dangling=true") == []
    assert "invalid filter" in docker.run("images", "--filter", "colour=red", status=1).err
    assert "No such image" in docker.run("images", "--filter", "before=nowhere", status=1).err


def test_what_is_saved_loads_again_as_it_was(docker: Docker, tmp_path: Path) -> None:
    _load(docker, tmp_path, "own:1", "own:2")
    (before,) = docker.run("image", "inspect", "own:1").json()

    docker.run("save", "-o", str(tmp_path / "saved.tar"), "own:1", "own:2", "busybox")
    docker.run("rmi", "own:1", "own:2")
    loaded = docker.run("load", "-i", str(tmp_path / "saved.tar")).out

    assert loaded.splitlines() == ["Loaded image: own:1", "Loaded image: own:2", "Loaded image: busybox:latest"]
    (after,) = docker.run("image", "inspect", "own:1").json()
    assert {key: after[key] for key in ("Id", "RootFS", "Config")} == {
        key: before[key] for key in ("Id", "RootFS", "Config")
    }
    with tarfile.open(tmp_path / "saved.tar") as saved:
        names = saved.getnames()
        index = json.loads(_read(saved, "index.json"))
        for entry in index["manifests"]:
            manifest = json.loads(_read(saved, f"blobs/sha256/{entry['digest'][7:]}"))
            for blob in (manifest["config"], *manifest["layers"]):
                assert saved.getmember(f"blobs/sha256/{blob['digest'][7:]}").size == blob["size"]
    assert len(names) == len(set(names))


def test_by_its_id_an_image_is_saved_without_a_name(docker: Docker, client: docker_py.DockerClient) -> None:
    image = client.images.get("busybox")
    content = b"".join(image.save())

    with tarfile.open(fileobj=io.BytesIO(content)) as saved:
        (entry,) = json.loads(_read(saved, "manifest.json"))
    assert entry["RepoTags"] is None
    (loaded,) = client.images.load(content)
    assert loaded.id == image.id
    assert "No such image: nowhere:latest" in docker.run("save", "nowhere", status=1).err


def test_a_root_tar_is_imported_with_what_is_said_about_it(docker: Docker) -> None:
    made = docker.run(
        *("import", "-c", 'CMD ["sh"]', "-m", "from a tar", "-", "imported:1"), stdin=files_tar({"f": b"x"})
    ).out.strip()
    (shown,) = docker.run("image", "inspect", "imported:1").json()

    assert shown["Id"] == made
    assert shown["Config"]["Cmd"] == ["sh"]
    assert "from a tar" in docker.run("history", "imported:1").out


def test_prune_takes_what_has_no_name_and_all_that_is_unused(docker: Docker, tmp_path: Path) -> None:
    for number in "12":
        _load(docker, tmp_path, "own:1", Labels={"number": number})

    assert "deleted: sha256:" in docker.run("image", "prune", "-f").out
    assert "own:1" in _names(docker)
    docker.run("image", "prune", "-af", "--filter", "label=nobody")
    assert "own:1" in _names(docker)
    assert "untagged: own:1" in docker.run("image", "prune", "-af", "--filter", "label=number=2").out
    assert "busybox:latest" in _names(docker)


def test_what_is_not_there_says_so(docker: Docker) -> None:
    assert "searching is not supported" in docker.run("search", "box", status=1).err
    assert "the built-in image cannot be saved" in docker.run("save", "host", status=1).err


def test_docker_py_lists_and_removes(client: docker_py.DockerClient, shared_engine: Engine) -> None:
    assert client.images.get("busybox").tag("own", tag="7")
    assert [image.tags for image in client.images.list(name="own")] == [["busybox:latest", "own:7"]]
    client.images.remove("own:7")
    with pytest.raises(docker_py.errors.ImageNotFound):
        client.images.get("own:7")
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] == 0
    assert shared_engine


def _load(docker: Docker, folder: Path, *names: str, **config: Any) -> None:
    image = replace(busybox_image(files={"own": b"1"}, **config), names=names)
    docker.run("load", "-i", str(docker_save_archive(folder / "own.tar", image)))


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()
