"""What takes room: `stackctl system df`, `docker system df`, docker-py; and what `down --rmi` gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker
from tests.support.engine import Engine
from tests.support.images import busybox_image, docker_save_archive, files_tar
from tests.support.stack import FOREVER, Stack, stack_in


@pytest.fixture
def stack(shared_engine: Engine, tmp_path: Path) -> Iterator[Stack]:
    """A stack ``used``."""
    with stack_in(shared_engine, tmp_path / "stack", "used") as own:
        yield own


def _load(engine: Engine, folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    image = replace(busybox_image(files={"own": name.encode()}), names=(name,))
    engine.run("image", "load", "-q", "-i", str(docker_save_archive(folder / "own.tar", image)))


def _images(engine: Engine) -> set[str]:
    return {name for row in engine.run("image", "ls", "--format", "json").rows() for name in row["RepoTags"]}


def test_what_containers_write_and_volumes_hold_is_counted(
    stack: Stack, docker: Docker, client: docker_py.DockerClient
) -> None:
    write = "dd if=/dev/zero of=/written bs=1M count=3; dd if=/dev/zero of=/data/kept bs=1M count=2; sleep 1000"
    stack.write({"it": {**FOREVER, "command": ["sh", "-c", write], "volumes": ["data:/data"]}}, volumes={"data": {}})
    stack.run("up", "-d", "--wait")
    stack.run(
        "exec", "-T", "it", "sh", "-c", "until [ -e /data/kept ] && [ $(stat -c %s /data/kept) = 2097152 ]; do :; done"
    )

    rows = stack.run("system", "df", "--format", "json").json()
    found = {row["Type"]: row for row in rows}
    assert found["Images"]["Total"] == found["Images"]["Active"] == "1"
    assert (found["Containers"]["Active"], found["Containers"]["Size"][:2]) == ("1", "3.")
    assert found["Local Volumes"]["Size"][:2] == "2."
    verbose = stack.run("system", "df", "-v").out
    assert "used_data" in verbose
    assert "used-it-1" in verbose
    theirs = docker.run("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}").out.splitlines()
    assert theirs == ["Images 1 1", "Containers 1 1", "Local Volumes 1 1", "Build Cache 0 0"]
    assert "used_data" in docker.run("system", "df", "-v").out
    (usage,) = [volume["UsageData"] for volume in client.df()["Volumes"]]
    assert usage["RefCount"] == 1
    assert 2 << 20 <= usage["Size"] < 3 << 20


def test_layers_of_several_images_count_once(
    stack: Stack, tmp_path: Path, docker: Docker, client: docker_py.DockerClient
) -> None:
    base = busybox_image()
    layers = (*base.layers, files_tar({"more": b"x" * 5000}))
    own = replace(base, names=("other:1",), layers=layers)
    stack.engine.run("image", "load", "-q", "-i", str(docker_save_archive(tmp_path / "other.tar", own)))

    usage = client.df()
    sizes = {image["RepoTags"][0]: (image["Size"], image["SharedSize"]) for image in usage["Images"]}
    shared = sizes["busybox:latest"][0]
    assert sizes["busybox:latest"] == (shared, shared)
    assert sizes["other:1"][1] == shared
    assert usage["LayersSize"] == sizes["other:1"][0] > shared
    assert docker.run("system", "df", "--format", "{{.TotalCount}}").out.splitlines()[0] == "2"
    stack.engine.run("image", "rm", "other:1")


def test_down_takes_the_images_that_are_asked_for(stack: Stack, tmp_path: Path) -> None:
    (stack.folder / "Dockerfile").write_text("FROM busybox\nRUN true >/made\n", encoding="utf-8")
    _load(stack.engine, tmp_path / "own", "own:1")
    built = {key: value for key, value in FOREVER.items() if key != "image"} | {"build": "."}
    services = {"built": built, "own": {**FOREVER, "image": "own:1"}, "host": {**FOREVER, "image": "host"}}
    stack.write(services)
    stack.run("up", "-d")

    local = stack.run("down", "--rmi", "local")
    assert "Image used-built  Removed" in local.err
    assert {"own:1", "busybox:latest", "host:latest"} <= _images(stack.engine)
    assert "used-built:latest" not in _images(stack.engine)

    stack.run("up", "-d")
    every = stack.run("down", "--rmi", "all").err
    assert "Image own:1  Removed" in every
    assert "Image used-built  Removed" in every
    assert _images(stack.engine) == {"busybox:latest", "host:latest"}
    assert "Warning" in stack.run("down", "--rmi", "all").err
    assert "invalid value for '--rmi'" in stack.run("down", "--rmi", "some", status=1).err.lower()


def test_an_image_that_another_stack_uses_stays(stack: Stack, tmp_path: Path) -> None:
    _load(stack.engine, tmp_path / "own", "own:1")
    with stack_in(stack.engine, tmp_path / "other", "other") as other:
        for each in (stack, other):
            each.write({"it": {**FOREVER, "image": "own:1"}})
            each.run("up", "-d")

        assert "container other-it-1 is using its referenced image" in stack.run("down", "--rmi", "all").err
        assert "own:1" in _images(stack.engine)
        other.run("down", "--rmi", "all")
    assert "own:1" not in _images(stack.engine)


def test_an_archive_s_image_for_another_platform_is_loaded_on_demand(stack: Stack, tmp_path: Path) -> None:
    image = replace(busybox_image(), names=("arm:1",), architecture="arm64")
    archive = docker_save_archive(tmp_path / "arm.tar", image)

    stack.engine.run("image", "load", "--platform", "linux/arm64", "-i", str(archive))
    shown = stack.engine.run("image", "inspect", "arm:1").json()
    assert shown[0]["Architecture"] == "arm64"
    stack.engine.run("image", "rm", "arm:1")


def test_a_root_tar_is_imported_for_another_platform_with_words(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(busybox_image().layers[0])
    words = ("image", "import", "--platform", "linux/arm64", "-m", "by hand", str(tmp_path / "root.tar"), "arm:2")
    stack.engine.run(*words)

    assert stack.engine.run("image", "inspect", "arm:2").json()[0]["Architecture"] == "arm64"
    assert "by hand" in stack.engine.run("image", "history", "arm:2").out
    stack.engine.run("image", "rm", "arm:2")


def test_what_nothing_uses_is_removed_when_agreed(stack: Stack) -> None:
    once = {**FOREVER, "command": ["true"], "volumes": ["/anonymous"]}
    stays = {**FOREVER, "volumes": ["data:/data"], "networks": ["front"]}
    stack.write({"once": once, "stays": stays}, volumes={"data": {}}, networks={"front": {}, "default": {}})
    stack.run("up", "-d")
    stack.run("wait", "once")

    asked = stack.run("system", "prune", "--volumes", stdin=b"n\n").err
    assert "all stopped containers, of every stack" in asked
    assert len(stack.run("ps", "-aq").out.split()) == 2
    kept = stack.run("system", "prune", "-f", "--filter", "label=nobody").out
    assert kept == "Total reclaimed space: 0B\n"
    told = stack.run("system", "prune", "-f", "--volumes").out
    assert [line for line in told.splitlines() if line.startswith("Deleted")] == [
        "Deleted Containers:",
        "Deleted Networks:",
        "Deleted Volumes:",
    ]
    assert "used_default" in told
    assert stack.run("ps", "-a", "--services").out.split() == ["stays"]
    stack.run("down")
    assert stack.run("volume", "prune", "-f").out == "Total reclaimed space: 0B\n"
    assert "used_data" in stack.run("volume", "prune", "--all", "-f").out
    assert "no filter: age=1" in stack.run("volume", "prune", "--filter", "age=1", status=1).err
