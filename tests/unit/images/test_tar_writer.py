"""Writing tars: the standard library and our own reader read what was written, and the same comes to the same."""

from __future__ import annotations

import io
import tarfile

import pytest

from stackctl.images import tar_writer
from stackctl.images.chunks import ChunkReader
from stackctl.images.tar_reader import Kind, TarEntry, TarReader

PLAIN = TarEntry(b"folder/name", Kind.FILE, 0o4755, 1000, 50, 5, 1_577_836_800 * 10**9, b"", (0, 0), (), None)
ENTRIES = [
    PLAIN,
    PLAIN._replace(name=b"n" * 99 + b"/" + b"m" * 200),
    PLAIN._replace(name="naïve/ümläut".encode()),
    PLAIN._replace(uid=2**31, gid=2**22, mtime_ns=2**34 * 10**9),
    PLAIN._replace(mtime_ns=-5 * 10**9),
    PLAIN._replace(xattrs=(("user.a", b"1"), ("security.capability", b"\x01\0\0\x02=\n"))),
    PLAIN._replace(kind=Kind.FOLDER, size=0),
    PLAIN._replace(kind=Kind.SYMLINK, size=0, link=b"l" * 150),
    PLAIN._replace(kind=Kind.HARD_LINK, size=0, link=b"folder/other"),
    PLAIN._replace(kind=Kind.CHAR, size=0, device=(5, 1)),
    PLAIN._replace(kind=Kind.FIFO, size=0),
]


def tar(*entries: TarEntry) -> bytes:
    pieces = []
    for entry in entries:
        pieces += [tar_writer.header(entry), b"x" * entry.size, tar_writer.padding(entry.size)]
    return b"".join([*pieces, tar_writer.end()])


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_our_own_reader_reads_it_back(entry: TarEntry) -> None:
    (found,) = TarReader(ChunkReader(iter([tar(entry)]), "it")).entries()
    assert found._replace(parts=None) == entry._replace(xattrs=tuple(sorted(entry.xattrs)))


def test_the_standard_library_reads_it_back() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(*ENTRIES))) as found:
        read = [(member.name.encode("utf-8", "surrogateescape"), member.mode, member.uid) for member in found]
    assert read == [(entry.name, entry.mode, entry.uid) for entry in ENTRIES]


def test_the_length_of_a_record_counts_its_own_digits() -> None:
    for length in range(80, 110):
        entry = PLAIN._replace(name=b"n" * 100 + b"m" * (length - 80), size=0)
        (found,) = TarReader(ChunkReader(iter([tar(entry)]), "it")).entries()
        assert found.name == entry.name
