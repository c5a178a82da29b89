"""Reading tar streams: V7, ustar, GNU and PAX, sparse files included. Names stay bytes.

Written for speed (a layer has tens of thousands of entries) and for hostile input: nothing is read that the
stream does not hold, and every size is bounded before memory is taken for it. The standard library's
``tarfile`` is the oracle of the tests.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images import pax, sparse
from stackctl.images.chunks import ChunkReader
from stackctl.images.limits import (
    MAX_ENTRIES,
    MAX_EXTENSION_BYTES,
    MAX_NAME_BYTES,
    MAX_TAR_BYTES,
    PIECE_BYTES,
)
from stackctl.images.pax import corrupt

_BLOCK: Final = 512
_ZERO: Final = bytes(_BLOCK)
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_ADLER: Final = 65521
_NS: Final = 1_000_000_000
_MAX_ID: Final = 2**32 - 2
_MAX_TIME_NS: Final = 2**40 * _NS
_GLOBAL_KEYS: Final = (b"mtime", b"uid", b"gid")
"""What a global header may say: a path or a size for all entries can only be meant ill."""


class Kind(Enum):
    """What an entry is."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symbolic link"
    CHAR = "character device"
    BLOCK = "block device"
    FOLDER = "folder"
    FIFO = "fifo"


_KINDS: Final = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.FOLDER,
    b"D": Kind.FOLDER,
    b"6": Kind.FIFO,
}
_WITH_CONTENT: Final = frozenset((b"0", b"\0", b"7", b"S", b"D"))


class TarEntry(NamedTuple):
    """One entry. ``size`` is the file's, holes included; ``parts`` are what is held of a sparse file."""

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    device: tuple[int, int]
    xattrs: tuple[tuple[str, bytes], ...]
    parts: sparse.Parts | None


class _Header(NamedTuple):
    """A header block, still to be completed by the extensions before it."""

    block: bytes
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    kind: bytes
    link: bytes
    device: tuple[int, int]


class _Extension:
    """What extension headers say about the next entry."""

    __slots__ = ("link", "name", "pax")

    def __init__(self) -> None:
        self.name = b""
        self.link = b""
        self.pax: list[tuple[bytes, bytes]] = []


class TarReader:
    """The entries of a tar, one after the other; the content of each is read, if at all, before the next."""

    def __init__(self, source: ChunkReader) -> None:
        self._source = source
        self._left = 0
        self._padding = 0
        self._total = 0
        self._globals: dict[bytes, bytes] = {}

    def entries(self) -> Iterator[TarEntry]:
        """Yield every entry, then read the stream to its end. Raises ImageError for what is no tar."""
        for _ in range(MAX_ENTRIES):
            self._source.skip(self._left + self._padding)
            self._left = self._padding = 0
            entry = self._next()
            if entry is None:
                self._source.drain()
                return
            yield entry
        raise ImageError(f"{self._source.what} holds more than {MAX_ENTRIES} entries", code="image-too-large")

    def content(self, most: int | None = None) -> Iterator[memoryview | bytes]:
        """Yield what is stored of the current entry and not read yet, at most ``most`` bytes."""
        left = self._left if most is None else min(most, self._left)
        while left:
            piece = self._source.some(min(left, PIECE_BYTES))
            left -= len(piece)
            self._left -= len(piece)
            yield piece

    def whole(self) -> bytes:
        """Return all that is stored of the current entry: for small ones."""
        size, self._left = self._left, 0
        return self._source.exactly(size)

    def _next(self) -> TarEntry | None:
        extension = _Extension()
        for _ in range(MAX_ENTRIES):
            block = self._source.block(_BLOCK)
            if not block or block == _ZERO:
                self._check_end(block)
                return None
            header = _parse(block)
            if not self._extend(extension, header):
                return self._entry(header, extension)
        raise corrupt("extension headers without end")

    def _check_end(self, block: bytes) -> None:
        # One block of zeros, or none, is what some writers end with; data after one is not a tar's end.
        if block and self._source.block(_BLOCK) not in (b"", _ZERO):
            raise corrupt("data after the end")

    def _extend(self, extension: _Extension, header: _Header) -> bool:
        match header.kind:
            case b"x" | b"X":
                extension.pax = pax.records(self._payload(header))
            case b"g":
                records = pax.records(self._payload(header))
                self._globals.update((key, value) for key, value in records if key in _GLOBAL_KEYS)
            case b"L":
                extension.name = self._payload(header).partition(b"\0")[0]
            case b"K":
                extension.link = self._payload(header).partition(b"\0")[0]
            case b"V" | b"N":
                self._payload(header)
            case _:
                return False
        return True

    def _payload(self, header: _Header) -> bytes:
        if header.size > MAX_EXTENSION_BYTES:
            raise corrupt(f"an extension header of {header.size} bytes")
        payload = self._source.exactly(header.size)
        self._source.skip(-header.size % _BLOCK)
        return payload

    def _entry(self, header: _Header, extension: _Extension) -> TarEntry:
        if header.kind not in _KINDS:
            raise corrupt(f"{header.name[:100]!r} is of unknown type {header.kind!r}")
        stored = header.size if header.kind in _WITH_CONTENT else 0
        parts: sparse.Parts | None = None
        if header.kind == b"S":
            parts, real = sparse.old_map(header.block, self._block)
            header = header._replace(size=real)
        if not extension.pax and not self._globals:
            entry = _plain(header, extension, parts)
            self._begin(stored, entry)
            return entry
        known = {**self._globals, **dict(extension.pax)}
        if b"size" in known and header.kind in _WITH_CONTENT:
            stored = pax.decimal(known[b"size"], "a size")
            header = header if parts is not None else header._replace(size=stored)
        return self._extended(header, extension, known, stored, parts)

    def _extended(
        self,
        header: _Header,
        extension: _Extension,
        known: dict[bytes, bytes],
        stored: int,
        parts: sparse.Parts | None,
    ) -> TarEntry:
        real = sparse.real_size(known) if header.kind in _WITH_CONTENT else None
        taken = 0
        if real is not None:
            if sparse.is_inline(known):
                parts, taken = sparse.inline_map(self._block)
            else:
                parts = sparse.header_map(extension.pax)
            header = header._replace(size=real)
        entry = _with_pax(_plain(header, extension, parts), known, extension.pax)
        self._begin(stored - taken, entry)
        return entry

    def _begin(self, stored: int, entry: TarEntry) -> None:
        self._total += stored
        if stored < 0 or stored > MAX_TAR_BYTES or entry.size > MAX_TAR_BYTES or self._total > MAX_TAR_BYTES:
            raise ImageError(f"{self._source.what} is larger than {MAX_TAR_BYTES} bytes", code="image-too-large")
        if entry.parts is not None:
            sparse.check(entry.parts, size=entry.size, stored=stored)
        if len(entry.name) > MAX_NAME_BYTES or len(entry.link) > MAX_NAME_BYTES:
            raise corrupt("a name is longer than a path can be")
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise corrupt(f"{entry.name[:100]!r} has an owner that cannot be")
        if not -_MAX_TIME_NS < entry.mtime_ns < _MAX_TIME_NS:
            raise corrupt(f"{entry.name[:100]!r} has a time that cannot be")
        self._left, self._padding = stored, -stored % _BLOCK

    def _block(self) -> bytes:
        return self._source.exactly(_BLOCK)


def _parse(block: bytes) -> _Header:
    fields = _HEADER.unpack(block)
    _check_sum(block, fields[6])
    size = pax.number(fields[4])
    if size < 0:
        raise corrupt("a negative size")
    name = fields[0].partition(b"\0")[0]
    # GNU's own magic is "ustar  "; its area of the prefix holds other things.
    if fields[9] == b"ustar\0" and fields[15][0]:
        name = fields[15].partition(b"\0")[0] + b"/" + name
    kind = fields[7]
    device = (pax.number(fields[13]), pax.number(fields[14])) if kind in (b"3", b"4") else (0, 0)
    return _Header(
        block,
        name,
        pax.number(fields[1]),
        pax.number(fields[2]),
        pax.number(fields[3]),
        size,
        pax.number(fields[5]),
        kind,
        fields[8].partition(b"\0")[0],
        device,
    )


def _check_sum(block: bytes, field: bytes) -> None:
    # The sum takes the field itself as spaces. adler32 sums in C, modulo a prime: 10 times sum()'s speed, and
    # enough to tell a tar from something else, which is all a checksum of this kind can do.
    digits = field.strip(b"\0 ")
    if not digits.isdigit():
        raise corrupt("a header's checksum is wrong")
    stated = pax.number(field)
    if ((zlib.adler32(block) & 0xFFFF) - 1 - sum(field) + 8 * 32 - stated) % _ADLER == 0:
        return
    # Some old writers summed signed bytes.
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 8 * 32
    if signed != stated:
        raise corrupt("a header's checksum is wrong")


def _plain(header: _Header, extension: _Extension, parts: sparse.Parts | None) -> TarEntry:
    name = extension.name or header.name
    kind = _KINDS[header.kind]
    # V7 had no type for folders.
    if kind is Kind.FILE and name.endswith(b"/"):
        kind = Kind.FOLDER
    return TarEntry(
        name,
        kind,
        header.mode & 0o7777,
        header.uid,
        header.gid,
        header.size,
        header.mtime * _NS,
        extension.link or header.link,
        header.device,
        (),
        parts,
    )


def _with_pax(entry: TarEntry, known: dict[bytes, bytes], records: list[tuple[bytes, bytes]]) -> TarEntry:
    name = known.get(b"GNU.sparse.name") or known.get(b"path") or entry.name
    link = known.get(b"linkpath") or entry.link
    kind = Kind.FOLDER if entry.kind is Kind.FILE and name.endswith(b"/") else entry.kind
    return entry._replace(
        name=name,
        kind=kind,
        link=link,
        uid=pax.decimal(known[b"uid"], "a uid") if known.get(b"uid") else entry.uid,
        gid=pax.decimal(known[b"gid"], "a gid") if known.get(b"gid") else entry.gid,
        mtime_ns=pax.time_ns(known[b"mtime"]) if known.get(b"mtime") else entry.mtime_ns,
        xattrs=pax.xattrs(records),
    )
