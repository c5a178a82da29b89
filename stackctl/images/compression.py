"""Decompression of streams, by what they begin with: gzip, bzip2, xz, zstd, or nothing."""

from __future__ import annotations

import bz2
import importlib
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Literal, Protocol, TypeAlias

from stackctl.errors import ImageError
from stackctl.images import libzstd
from stackctl.images.limits import PIECE_BYTES

Compression: TypeAlias = Literal["", "gzip", "bzip2", "xz", "zstd"]

_MAGIC: Final[tuple[tuple[bytes, Compression], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_ZSTD_SKIPPABLE: Final = bytes(range(0x50, 0x60))
_LONGEST_MAGIC: Final = 6
_XZ_MEMORY_BYTES: Final = 256 * 1024**2
_ZSTD_MODULES: Final = ("compression.zstd", "backports.zstd")


class _Decoder(Protocol):
    """What the decompressors of bz2, lzma and compression.zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def compression_of(head: bytes) -> Compression:
    """Return the compression of a stream that begins with ``head``."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    is_skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] in _ZSTD_SKIPPABLE
    return "zstd" if is_skippable else ""


def decompressed(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Yield the content of ``chunks``, decompressed as their first bytes ask for, in pieces of bounded size.

    Several compressed streams in a row are one, as gzip has it. Raises ImageError, naming ``what``, for
    corrupt data and for a compression this Python cannot read.
    """
    head = b""
    while len(head) < _LONGEST_MAGIC and (chunk := next(chunks, b"")):
        head += chunk
    kind = compression_of(head)
    whole = itertools.chain((head,), chunks) if head else iter(())
    if not kind:
        return whole
    if kind == "gzip":
        return _gunzip(whole, what)
    return _decode(whole, _decoder(kind, what), f"{what} is not a whole {kind} stream")


def _decoder(kind: Compression, what: str) -> Callable[[], _Decoder]:
    if kind == "bzip2":
        return bz2.BZ2Decompressor
    if kind == "xz":
        return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
    for name in _ZSTD_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        make: Callable[[], _Decoder] = module.ZstdDecompressor
        return make
    if libzstd.is_available():
        return libzstd.ZstdDecompressor
    raise ImageError(
        f"{what} is compressed with zstd, which this Python cannot read",
        code="compression-unsupported",
        hint="install libzstd (Debian: libzstd1) or the package backports.zstd, or compress with gzip",
    )


def _gunzip(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    corrupt = f"{what} is not a whole gzip stream"
    inflate, is_between = zlib.decompressobj(31), True
    for chunk in chunks:
        left = chunk
        while left:
            # What lies between two members, or after the last, may be padded with zeros.
            left = left.lstrip(b"\0") if is_between else left
            piece = _decompress(inflate.decompress, left, corrupt)
            is_between = is_between and not left
            if piece:
                yield piece
            left = inflate.unconsumed_tail
            if inflate.eof:
                left = inflate.unused_data
                inflate, is_between = zlib.decompressobj(31), True
    while not (is_between or inflate.eof):
        # The last bytes were taken in, but not all they say has come out.
        piece = _decompress(inflate.decompress, b"", corrupt)
        if not piece and not inflate.eof:
            raise ImageError(corrupt, code="archive-corrupt")
        yield piece


def _decode(chunks: Iterator[bytes], make: Callable[[], _Decoder], corrupt: str) -> Iterator[bytes]:
    decoder, is_between = make(), True
    for chunk in chunks:
        left = chunk
        while left or not (decoder.needs_input or is_between):
            left = left.lstrip(b"\0") if is_between else left
            is_between = is_between and not left
            if is_between:
                break
            piece = _decompress(decoder.decompress, left, corrupt)
            left = b""
            if piece:
                yield piece
            if decoder.eof:
                left = decoder.unused_data
                decoder, is_between = make(), True
    if not is_between:
        raise ImageError(corrupt, code="archive-corrupt")


def _decompress(call: Callable[[bytes, int], bytes], data: bytes, corrupt: str) -> bytes:
    try:
        return call(data, PIECE_BYTES)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise ImageError(f"{corrupt}: {error}", code="archive-corrupt") from error
    except Exception as error:
        # The zstd modules raise a class of their own, known only after importing one.
        if type(error).__name__ != "ZstdError":
            raise
        raise ImageError(f"{corrupt}: {error}", code="archive-corrupt") from error
