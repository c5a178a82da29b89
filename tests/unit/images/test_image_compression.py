"""Streams are decompressed by what they begin with, in bounded pieces."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable, Iterator

import pytest

from stackctl.errors import ImageError
from stackctl.images import libzstd
from stackctl.images.chunks import ReadAhead
from stackctl.images.compression import decompressed
from stackctl.images.limits import PIECE_BYTES
from tests.support.zstd import zstd

CONTENT = random.Random(1).randbytes(700_000) + bytes(3_000_000)
COMPRESSORS: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress, zstd]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return iter([data[at : at + size] for at in range(0, len(data), size)])


@pytest.mark.parametrize("compress", [*COMPRESSORS, bytes])
@pytest.mark.parametrize("size", [1000, 10_000_000])
def test_content_comes_back(compress: Callable[[bytes], bytes], size: int) -> None:
    found = list(decompressed(pieces(compress(CONTENT), size), "it"))
    assert b"".join(found) == CONTENT
    assert max(map(len, found)) <= max(PIECE_BYTES, size)


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_several_streams_in_a_row_are_one(compress: Callable[[bytes], bytes]) -> None:
    data = compress(b"first, ") + compress(b"") + compress(b"second") + bytes(1000)
    assert b"".join(decompressed(pieces(data, 7), "it")) == b"first, second"


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_stream_cut_short_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ImageError, match="not a whole"):
        list(decompressed(pieces(compress(CONTENT)[:-9], 100_000), "it"))


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_damaged_stream_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    data = bytearray(compress(CONTENT))
    data[50_000] ^= 0xFF
    with pytest.raises(ImageError, match="not a whole"):
        list(decompressed(pieces(bytes(data), 100_000), "it"))


def test_rubbish_after_a_stream_is_an_error() -> None:
    with pytest.raises(ImageError):
        list(decompressed(pieces(gzip.compress(b"x") + b"rubbish", 5), "it"))


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_bomb_is_read_in_small_pieces(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(64 * 1024**2))
    assert max(len(piece) for piece in decompressed(iter([bomb]), "it")) <= PIECE_BYTES


def test_zstd_without_a_module_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackctl.images.compression._ZSTD_MODULES", ("no.such.module",))
    monkeypatch.setattr("stackctl.images.libzstd._NAME", "libno-such-thing.so.1")
    libzstd._library.cache_clear()
    with pytest.raises(ImageError, match="zstd") as caught:
        list(decompressed(iter([b"\x28\xb5\x2f\xfd rest"]), "layer 1"))
    libzstd._library.cache_clear()
    assert "libzstd" in caught.value.hint


def test_zstd_frames_without_content_are_passed_over() -> None:
    skippable = b"\x5a\x2a\x4d\x18" + (700).to_bytes(4, "little") + bytes(range(250)) * 3
    data = skippable[: 8 + 700] + zstd(b"content")
    assert b"".join(decompressed(pieces(data, 100), "it")) == b"content"


def test_nothing_is_nothing() -> None:
    assert list(decompressed(iter([]), "it")) == []


def test_reading_ahead_passes_errors_on() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        raise ImageError("no more")

    with ReadAhead(failing()) as chunks:
        assert next(chunks) == b"a"
        with pytest.raises(ImageError, match="no more"):
            next(chunks)


def test_reading_ahead_can_be_left_early() -> None:
    with ReadAhead(iter([b"x"] * 1000)) as chunks:
        assert next(chunks) == b"x"
