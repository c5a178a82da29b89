"""`docker build` of the classic kind, and docker-py's build."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker

CLASSIC = {"DOCKER_BUILDKIT": "0"}


@pytest.fixture
def folder(tmp_path: Path, docker: Docker) -> Iterator[Path]:
    """A context of two stages; what was built of it goes again."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("from the context\n", encoding="utf-8")
    (tmp_path / ".dockerignore").write_text("Dockerfile\n.dockerignore\n", encoding="utf-8")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS base\nARG V=1\nRUN echo built $V >/f && echo warned >&2\n"
        'FROM base\nCOPY . /all\nCMD ["sh", "-c", "cat /f /all/sub/a; ls -A /all"]\n',
        encoding="utf-8",
    )
    yield tmp_path
    docker.run("rmi", "-f", "built:1", "built:2", status=None)


def test_an_image_is_built_and_run_and_the_second_time_found_built(docker: Docker, folder: Path) -> None:
    words = ("build", "-t", "built:1", "--build-arg", "V=2", "--label", "k=v", str(folder))
    first = docker.run(*words, env=CLASSIC).out
    again = docker.run(*words[:1], "-t", "built:2", *words[1:], env=CLASSIC).out

    assert "Step 2/2 (base) : RUN echo built $V" in first
    assert "warned" in first.splitlines()
    assert "Using cache" not in first
    assert first.splitlines()[-1] == "Successfully tagged built:1"
    assert "Using cache" in again
    assert "warned" not in again.splitlines()
    assert again.splitlines()[-2:] == ["Successfully tagged built:2", "Successfully tagged built:1"]
    assert docker.run("run", "--rm", "--network", "none", "built:1").out == "built 2\nfrom the context\nsub\n"
    assert docker.run("image", "inspect", "-f", "{{.Config.Labels.k}}", "built:1").out == "v\n"


def test_quietly_only_the_id_is_said(docker: Docker, folder: Path) -> None:
    said = docker.run("build", "-q", "-t", "built:1", "--target", "base", str(folder), env=CLASSIC).out.strip()

    assert said == docker.run("image", "inspect", "-f", "{{.Id}}", "built:1").out.strip()


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("FROM busybox\nRUN exit 7\n", 7, "Dockerfile:2: the command ended with exit code 7"),
        ("FROM busybox\nRUM true\n", 1, "dockerfile parse error: Dockerfile:2"),
        ("FROM busybox\nCOPY nothing /\n", 1, "Dockerfile:2"),
        ("", 1, "Dockerfile"),
    ],
)
def test_what_fails_says_where(docker: Docker, text: str, status: int, message: str) -> None:
    failed = docker.run("build", "-", stdin=text.encode(), env=CLASSIC, status=status)

    assert message in failed.err


def test_a_dockerfile_outside_of_the_context_is_none(client: docker_py.DockerClient) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        link = tarfile.TarInfo("Dockerfile")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)

    with pytest.raises(docker_py.errors.BuildError, match="Cannot locate specified Dockerfile"):
        client.images.build(fileobj=io.BytesIO(context.getvalue()), custom_context=True)


def test_docker_py_builds(client: docker_py.DockerClient, folder: Path) -> None:
    image, log = client.images.build(path=str(folder), tag="built:1", buildargs={"V": "9"})

    assert image.tags == ["built:1"]
    assert any("Successfully built" in entry.get("stream", "") for entry in log)
    with pytest.raises(docker_py.errors.BuildError, match="exit code 3"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"))
    assert client.images.prune_builds()["SpaceReclaimed"] >= 0


def test_what_buildkit_alone_can_do_is_refused(client: docker_py.DockerClient) -> None:
    with pytest.raises(docker_py.errors.APIError, match="set DOCKER_BUILDKIT=0"):
        client.api._result(client.api._post(client.api._url("/build?version=2")))
