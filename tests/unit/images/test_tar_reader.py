"""Reading tars: every format, held against the standard library's reader, and hostile ones."""

from __future__ import annotations

import io
import random
import struct
import tarfile
from collections.abc import Iterator

import pytest

from stackctl.errors import ImageError
from stackctl.images import pax
from stackctl.images.chunks import ChunkReader
from stackctl.images.tar_reader import Kind, TarEntry, TarReader
from tests.support.images import entry, tar_of

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "deep/" * 40 + "n" * 150


def read(data: bytes, *, size: int = 100_000) -> list[tuple[TarEntry, bytes]]:
    chunks: Iterator[bytes] = iter([data[at : at + size] for at in range(0, len(data), size)])
    reader = TarReader(ChunkReader(chunks, "the tar"))
    return [(found, b"".join(bytes(piece) for piece in reader.content())) for found in reader.entries()]


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(data)
    return caught.value.message


def header(name: bytes = b"a", kind: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """Return a header block; ``fields`` are at=bytes, such as at100=b"0000644"."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"%011o\0" % size
    block[156:157] = kind
    for at, value in fields.items():
        offset = int(at.removeprefix("at"))
        block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extended(*records: tuple[bytes, bytes]) -> bytes:
    payload = b"".join(record(key, value) for key, value in records)
    return header(b"x", b"x", len(payload)) + padded(payload)


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(b"%d" % size) + len(key) + len(value) + 3 != size:
        size = len(b"%d" % size) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (size, key, value)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [1, 511, 513, 1 << 20])
def test_every_format_reads_as_tarfile_reads_it(form: str, size: int) -> None:
    rich = form != "ustar"
    data = tar_of(
        [
            entry("d", tarfile.DIRTYPE, mode=0o1777, uid=7, gid=8),
            (entry("d/f", mode=0o4755, mtime=-5 if form == "gnu" else 1_600_000_000), b"content"),
            (entry("d/empty"), b""),
            entry("d/hard", tarfile.LNKTYPE, linkname="d/f"),
            entry("d/soft", tarfile.SYMTYPE, linkname="../" * 20 if not rich else "t" * 300),
            entry("d/dev", tarfile.CHRTYPE, devmajor=1, devminor=3),
            entry("d/fifo", tarfile.FIFOTYPE),
            (entry(LONG if rich else "p/" * 60 + "q" * 90), bytes(1000)),
            (entry("ä€" if rich else "b", uid=3_000_000_000 if rich else 1), random.Random(3).randbytes(5000)),
        ],
        form=FORMATS[form],
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        oracle = [(member, tar.extractfile(member) if member.isreg() else None) for member in tar]
        found = read(data, size=size)
        assert len(found) == len(oracle)
        for (mine, content), (theirs, file) in zip(found, oracle, strict=True):
            assert mine.name.decode().rstrip("/") == theirs.name
            assert (mine.mode, mine.uid, mine.gid) == (theirs.mode, theirs.uid, theirs.gid)
            assert mine.mtime_ns == int(theirs.mtime) * 10**9
            assert mine.link.decode() == theirs.linkname
            assert mine.device == (theirs.devmajor, theirs.devminor)
            if theirs.isreg():
                assert file is not None
                assert content == file.read()


def test_pax_times_keep_their_nanoseconds() -> None:
    data = extended((b"mtime", b"1700000000.123456789123")) + header()
    assert read(data)[0][0].mtime_ns == 1_700_000_000_123_456_789
    assert read(extended((b"mtime", b"-1.5")) + header())[0][0].mtime_ns == -1_500_000_000


def test_a_long_value_holds_newlines_and_equals_signs() -> None:
    value = b"x=1\n22 path=/etc/passwd\n" * 50
    data = extended((b"SCHILY.xattr.user.note", value), (b"path", b"real")) + header()
    found = read(data)[0][0]
    assert (found.name, found.xattrs) == (b"real", (("user.note", value),))


def test_libarchive_attributes_are_decoded() -> None:
    data = extended((b"LIBARCHIVE.xattr.user.%61", b"aGk")) + header()
    assert read(data)[0][0].xattrs == (("user.a", b"hi"),)


def test_an_extension_counts_for_one_entry_only() -> None:
    data = extended((b"path", b"long"), (b"uid", b"5")) + header() + header(b"b")
    assert [(found.name, found.uid) for found, _ in read(data)] == [(b"long", 5), (b"b", 0)]


def test_a_global_header_cannot_rename_everything() -> None:
    payload = record(b"path", b"evil") + record(b"size", b"9") + record(b"uid", b"9")
    data = header(b"g", b"g", len(payload)) + padded(payload) + header(b"a") + header(b"b")
    assert [(found.name, found.uid, found.size) for found, _ in read(data)] == [(b"a", 9, 0), (b"b", 9, 0)]


def test_a_pax_size_overrides_the_header() -> None:
    data = extended((b"size", b"600")) + header(size=0) + padded(b"z" * 600) + header(b"next")
    assert [(found.name, content) for found, content in read(data)] == [(b"a", b"z" * 600), (b"next", b"")]


def test_a_folder_of_old_is_a_file_with_a_slash() -> None:
    assert read(header(b"dir/", b"\0"))[0][0].kind is Kind.FOLDER


def test_a_checksum_of_signed_bytes_is_accepted() -> None:
    block = bytearray(header(b"\xe4"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 256)
    assert read(bytes(block))[0][0].name == b"\xe4"


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10_240)])
def test_an_archive_may_end_in_several_ways(end: bytes) -> None:
    assert len(read(header() + end)) == 1


def test_what_follows_the_end_is_read_too() -> None:
    rest = io.BytesIO(header() + bytes(1024) + b"padding of the writer's own")
    reader = TarReader(ChunkReader(iter(lambda: rest.read(100), b""), "the tar"))
    assert len(list(reader.entries())) == 1
    assert rest.read() == b""


OLD_SPARSE = header(b"s", b"S", 8, at386=b"%011o\0%011o\0" % (4096, 8), at483=b"%011o\0" % 10_000)


@pytest.mark.parametrize(
    "data",
    [
        OLD_SPARSE + padded(b"contents"),
        extended((b"GNU.sparse.size", b"10000"), (b"GNU.sparse.offset", b"4096"), (b"GNU.sparse.numbytes", b"8"))
        + header(b"s", size=8)
        + padded(b"contents"),
        extended((b"GNU.sparse.size", b"10000"), (b"GNU.sparse.name", b"s"), (b"GNU.sparse.map", b"4096,8"))
        + header(b"GNUSparseFile.0/s", size=8)
        + padded(b"contents"),
        extended(
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"s"),
            (b"GNU.sparse.realsize", b"10000"),
        )
        + header(b"GNUSparseFile.0/s", size=520)
        + padded(b"1\n4096\n8\n")
        + padded(b"contents"),
    ],
    ids=["old", "0.0", "0.1", "1.0"],
)
def test_sparse_files_of_every_format(data: bytes) -> None:
    (found, content), (after, _) = read(data + header(b"after"))
    assert (found.name, found.size, found.parts, content) == (b"s", 10_000, ((4096, 8),), b"contents")
    assert after.name == b"after"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x" * 512, "checksum"),
        (b"short", "cut short"),
        (header()[:300], "cut short"),
        (header(size=1000) + bytes(100), "cut short"),
        (header(kind=b"Z"), "unknown type"),
        (header(at124=b"99999999999\0"), "not a number"),
        (header(at124=b"\xff" * 12), "negative size"),
        (header(at124=b"\x80" + b"\xff" * 11), "larger than"),
        (header(at108=b"\xff" * 8), "owner"),
        (header(at136=b"\x80" + b"\xff" * 11), "time"),
        (header() + bytes(512) + header(), "after the end"),
        (header(b"x", b"x", 2**40), "extension header"),
        (header(b"L", b"L", 2**31), "extension header"),
        (header(b"x", b"x", 10) + padded(b"99 a=b\n"), "malformed record"),
        (header(b"x", b"x", 10) + padded(b"hello"), "no length"),
        (header(b"x", b"x", 6) + padded(b"6 a=bc"), "malformed record"),
        (header(b"x", b"x", 6) + padded(b"0 a=b\n"), "malformed record"),
        (extended((b"size", b"-1")) + header(), "a size is"),
        (extended((b"size", b"9" * 19)) + header(), "a size is"),
        (extended((b"size", b"9" * 5000)) + header(), "a size is"),
        (extended((b"uid", b"4294967295")) + header(), "owner"),
        (extended((b"mtime", b"1e9")) + header(), "mtime"),
        (extended((b"mtime", b"9" * 18)) + header(), "mtime"),
        (extended((b"path", b"p" * 5000)) + header(), "longer than"),
        (extended((b"linkpath", b"p" * 5000)) + header(kind=b"2"), "longer than"),
        (extended((b"LIBARCHIVE.xattr.user.a", b"a")) + header(), "base64"),
        (extended((b"SCHILY.xattr." + b"a" * 300, b"a")) + header(), "cannot be"),
        (extended(*((b"SCHILY.xattr.user.%d" % n, b"") for n in range(100))) + header(), "more than"),
        (header(b"s", b"S", 8, at386=b"%011o\0%011o\0" % (4096, 9), at483=b"%011o\0" % 9999), "does not fit"),
        (header(b"s", b"S", 8, at386=b"%011o\0%011o\0" % (4096, 8), at483=b"%011o\0" % 4100), "does not fit"),
        (header(b"s", b"S", 0, at482=b"\1", at483=b"%011o\0" % 9) + b"0" * 512, "cut short"),
        (
            extended((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1"))
            + header(size=512)
            + padded(b"99999999999\n"),
            "too many parts",
        ),
        (
            extended((b"GNU.sparse.size", b"99"), (b"GNU.sparse.map", b"50,4,10,4")) + header(size=8) + bytes(512),
            "overlap",
        ),
        (
            extended((b"GNU.sparse.size", b"99"), (b"GNU.sparse.map", b"50,4,10")) + header(size=8) + bytes(512),
            "malformed",
        ),
        (extended((b"GNU.sparse.size", b"9" * 18), (b"GNU.sparse.map", b"")) + header(), "larger than"),
    ],
)
def test_a_bad_tar_is_an_image_error(data: bytes, why: str) -> None:
    assert why in refusal(data)


def test_numbers_are_octal_or_base_256() -> None:
    assert pax.number(b"0000644\0") == 0o644
    assert pax.number(b"    644 ") == 0o644
    assert pax.number(bytes(8)) == 0
    assert pax.number(b"\x80" + struct.pack(">Q", 2**40)[1:]) == 2**40
    assert pax.number(b"\xff" * 8) == -1
