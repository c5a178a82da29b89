"""Whatever the bytes, reading a tar or an image archive ends in entries or in an ImageError."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.errors import ImageError
from stackctl.images import pax
from stackctl.images.archive import read_archive
from stackctl.images.chunks import ChunkReader
from stackctl.images.platform import Platform
from stackctl.images.tar_reader import TarReader
from tests.support.images import Image, docker_save_archive, entry, files_tar, oci_archive, tar_of

TAR = tar_of(
    [
        entry("d", tarfile.DIRTYPE),
        (entry("d/" + "n" * 200, pax_headers={"SCHILY.xattr.user.a": "b", "mtime": "1.5"}), b"content" * 100),
        entry("d/l", tarfile.SYMTYPE, linkname="x" * 200),
    ]
)
PARTS = st.tuples(st.integers(0, 1 << 14), st.binary(max_size=20))


def archives() -> list[bytes]:
    image = Image((files_tar({"a": b"1"}),), ("a:1",))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        return [make(path, image).read_bytes() for make in (docker_save_archive, oci_archive)]


ARCHIVES = archives()


def damaged(data: bytes, damages: list[tuple[int, bytes]]) -> bytes:
    result = bytearray(data)
    for at, content in damages:
        at %= len(data)
        result[at : at + len(content)] = content
    return bytes(result)


@given(st.lists(PARTS, max_size=4), st.integers(0, len(TAR)))
def test_a_damaged_tar(damages: list[tuple[int, bytes]], end: int) -> None:
    data = io.BytesIO(damaged(TAR, damages)[: end or None])
    reader = TarReader(ChunkReader(iter(lambda: data.read(700), b""), "the tar"))
    try:
        for _ in reader.entries():
            for _ in reader.content():
                pass
    except ImageError:
        pass


@given(st.binary(max_size=300))
def test_any_extended_header(payload: bytes) -> None:
    with contextlib.suppress(ImageError):
        pax.xattrs(pax.records(payload))


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(ARCHIVES), st.lists(PARTS, max_size=3))
def test_a_damaged_archive(archive: bytes, damages: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ImageError):
        read_archive(
            io.BytesIO(damaged(archive, damages)),
            folder,
            wanted=Platform("linux", "amd64"),
            find_blob=lambda _digest: "",
        )
