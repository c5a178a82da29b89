"""Volumes of any stack: brought in from a Docker Engine's data, saved, listed, removed."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import FOREVER, Stack
from tests.support.trees import everything

MARKS = {"com.docker.compose.project": "moved", "com.docker.compose.volume": "data", "mine": "yes"}


class DockerRoot:
    """The data root of a Docker Engine, as far as volumes go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "volumes/moved_data/_data"
        self.data.mkdir(parents=True)
        record = json.dumps({"Name": "moved_data", "Driver": "local", "Labels": MARKS, "Options": None})
        stale = record.replace('"yes"', '"no"')
        text = record.replace('": ', '":').replace(", ", ",").encode()
        (root / "volumes/metadata.db").write_bytes(
            b"\0\1" * 100 + stale.replace('": ', '":').encode()[:60] + b"\0" * 9 + text + b"\0" * 99
        )

    def container(self, name: str, *, pid: int) -> None:
        """Write a container that runs with the volume, or did when the machine broke down."""
        folder = self.root / "containers" / name
        folder.mkdir(parents=True)
        mounts = {"/data": {"Name": "moved_data", "Type": "volume"}}
        shape = {"Name": f"/{name}", "State": {"Running": True, "Pid": pid}, "MountPoints": mounts}
        (folder / "config.v2.json").write_text(json.dumps(shape))


@pytest.fixture
def docker(tmp_path: Path) -> DockerRoot:
    """A data root with the volume ``moved_data``, which holds one file."""
    found = DockerRoot(tmp_path / "docker")
    (found.data / "x").write_text("precious\n")
    return found


@pytest.fixture
def engine(resident: Engine) -> Iterator[Engine]:
    """The shared engine, without volumes afterwards."""
    yield resident
    resident.run("volume", "rm", "-f", "moved_data", "again")


def bring_in(engine: Engine, docker: DockerRoot, *arguments: str, status: int = 0) -> str:
    """Import the volume, and return all that is said."""
    argv = ("volume", "import", "--from-docker", "moved_data", "--docker-root", str(docker.root), *arguments)
    result = engine.run(*argv, status=status)
    return result.out + result.err


def test_a_stack_finds_the_data_it_had_with_docker(docker: DockerRoot, engine: Engine, tmp_path: Path) -> None:
    docker.container("gone", pid=2**22 + 1)
    before = everything(docker.root)
    assert bring_in(engine, docker) == "moved_data: 1 file, 9B\n"

    (folder := tmp_path / "stack").mkdir()
    stack = Stack(engine, folder, "moved")
    stack.write({"web": {**FOREVER, "volumes": ["data:/data"]}}, volumes={"data": {}})
    said = stack.run("up", "-d")
    assert "warning" not in said.err, "the volume is not taken for the stack's own"
    assert stack.run("exec", "-T", "web", "cat", "/data/x").out == "precious\n"
    assert engine.run("volume", "inspect", "moved_data").json()[0]["Labels"] == MARKS
    assert "error[volume-exists]" in bring_in(engine, docker, status=1)
    assert "is in use by moved-web-1" in engine.run("volume", "rm", "moved_data", status=1).err
    stack.run("down", "-v")
    assert everything(docker.root) == before


def test_a_volume_in_use_is_refused_unless_forced(docker: DockerRoot, engine: Engine) -> None:
    docker.container("shop-web-1", pid=os.getpid())
    said = bring_in(engine, docker, "--as", "again", status=1)
    assert said.startswith("error[volume-in-use]: Docker's volume moved_data is being used by shop-web-1\nhint: ")
    assert "shop-web-1 may be writing while it is copied" in bring_in(engine, docker, "--as", "again", "--force")
    assert engine.run("volume", "ls", "-q").out == "again\n"
    assert engine.run("volume", "inspect", "again").json()[0]["Labels"] == {"mine": "yes"}
    engine.run("volume", "rm", "again")


def test_what_is_not_there_or_elsewhere_is_said(docker: DockerRoot, engine: Engine, tmp_path: Path) -> None:
    root = ("--docker-root", str(docker.root))
    said = engine.run("volume", "import", "--from-docker", "../moved_data", *root, status=1).err
    assert said.endswith("hint: there are moved_data\n")
    said = engine.run("volume", "import", "--from-docker", "x", "--docker-root", str(tmp_path), status=1).err
    assert said.startswith(f"error[no-docker-root]: {tmp_path} is no data root of Docker")
    (docker.root / "volumes/moved_data/opts.json").write_text(
        json.dumps({"MountDevice": ":/exports", "MountType": "nfs"})
    )
    assert "error[docker-volume-elsewhere]: Docker's volume moved_data is :/exports" in bring_in(
        engine, docker, status=1
    )
    assert engine.run("volume", "ls", "-q").out == ""


def test_a_volume_is_saved_as_an_archive(docker: DockerRoot, engine: Engine, tmp_path: Path) -> None:
    os.chown(docker.data / "x", 1234, 99)
    os.setxattr(docker.data / "x", "user.mine", b"\xff1")
    os.link(docker.data / "x", docker.data / "y")
    bring_in(engine, docker)
    engine.run("volume", "export", "moved_data", "-o", "out.tar", cwd=tmp_path)

    with tarfile.open(fileobj=io.BytesIO((tmp_path / "out.tar").read_bytes())) as archive:
        found = {member.name: member for member in archive}
        assert sorted(found) == [".", "./x", "./y"]
        assert (found["./x"].uid, found["./x"].gid, found["./x"].uname, found["./x"].size) == (1234, 99, "", 9)
        assert found["./y"].linkname == "./x"
        attribute = found["./x"].pax_headers["SCHILY.xattr.user.mine"]
        assert attribute.encode("utf-8", "surrogateescape") == b"\xff1"
    assert "error[no-such-volume]" in engine.run("volume", "export", "none", status=1).err
