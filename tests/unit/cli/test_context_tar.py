"""The tar in which a build's context is sent."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from stackctl.cli.contexts import ContextTar, read_context
from stackctl.cli.settings import Settings


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
