"""A build's context: the tar in which it is sent, and what is said about it before."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from stackctl.cli.contexts import ContextTar, read_context
from stackctl.cli.settings import Settings
from stackctl.images.dockerfile import DockerfileError


def sent(folder: Path) -> dict[str, int]:
    """Return the size of each file of a context as it is sent."""
    context = read_context(Settings(environment={}, cwd=str(folder)), str(folder), "Dockerfile")
    stream, data = ContextTar(context), b""
    while piece := stream.read(1000):
        data += piece
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member.size for member in archive}


def test_files_of_every_size_are_sent(tmp_path: Path) -> None:
    sizes = {"Dockerfile": 12, "a": 0, "b": 512, "c": 1024, "d": 1, "e": 513}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"FROM scratch"[:size].ljust(size, b"\n"))
    assert sent(tmp_path) == sizes


def test_a_context_is_checked_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nMAINTAINER me\n", encoding="utf-8")
    (tmp_path / ".dockerignore").write_text("ok\n[a\n", encoding="utf-8")
    context = read_context(Settings(environment={}, cwd=str(tmp_path)), str(tmp_path), "Dockerfile")
    assert [(str(w.sources[0]), w.code) for w in context.check()] == [
        (".dockerignore:2", "dockerignore-pattern"), ("Dockerfile:2", "dockerfile-old"),
    ]  # fmt: skip


def test_all_that_is_wrong_with_a_dockerfile_is_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM scratch\nCPY a b\nENV\n")
    context = read_context(Settings(environment={}, cwd=str(tmp_path)), str(tmp_path), "Dockerfile")
    with pytest.raises(DockerfileError) as caught:
        context.check()
    assert [str(diagnostic.sources[0]) for diagnostic in caught.value.diagnostics] == ["Dockerfile:2", "Dockerfile:3"]
