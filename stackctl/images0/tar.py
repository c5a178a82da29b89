"""Reading tar streams: ustar, GNU long names, PAX, base-256 numbers. Streams, never seeks, bounded in memory.

Source: pax(1), "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from stackctl.errors import ImageError

_BLOCK: Final = 512
_MOST_HEADER_BYTES: Final = 1 << 20
_PIECE: Final = 1 << 18
FILE: Final = b"0"
HARD_LINK: Final = b"1"
SYMBOLIC_LINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_GNU_NAME: Final = b"L"
_GNU_LINK: Final = b"K"


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Entry:
    """One entry. ``kind`` is a type flag; ``size`` counts the bytes of a regular file."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)


class TarReader:
    """Iterates over the entries; the content of one must be read before the next is asked for."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry. Raises ImageError for what is no tar."""
        overrides: dict[str, bytes] = {}
        shared: dict[str, bytes] = {}
        while True:
            self._skip_rest()
            header = self._read_exactly(_BLOCK, may_end=True)
            if not header or not header.strip(b"\0"):
                return
            _check_sum(header)
            kind, size = header[156:157], _number(header[124:136])
            if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK):
                self._read_extension(kind, size, overrides, shared)
                continue
            yield self._entry(header, {**shared, **overrides})
            overrides = {}

    def content(self) -> Iterator[bytes]:
        """Yield the content of the present entry, in pieces."""
        while self._left:
            piece = self._stream.read(min(_PIECE, self._left))
            if not piece:
                raise ImageError("the archive ends in the middle of a file", code="archive-truncated")
            self._left -= len(piece)
            yield piece

    def _entry(self, header: bytes, pax: dict[str, bytes]) -> Entry:
        kind = header[156:157]
        prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        name = header[:100].split(b"\0")[0]
        name = pax.get("path", prefix + b"/" + name if prefix else name)
        if kind in (b"\0", b"7"):
            kind = FILE
        if kind == FILE and name.endswith(b"/"):
            kind = DIRECTORY
        size = int(pax["size"]) if "size" in pax else _number(header[124:136])
        self._expect(0 if kind in (HARD_LINK, SYMBOLIC_LINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO) else size)
        return Entry(
            name=name,
            kind=kind,
            mode=_number(header[100:108]) & 0o7777,
            uid=int(pax.get("uid", _number(header[108:116]))),
            gid=int(pax.get("gid", _number(header[116:124]))),
            size=size if kind == FILE else 0,
            mtime_ns=_mtime(pax.get("mtime"), header),
            link=pax.get("linkpath", header[157:257].split(b"\0")[0]),
            major=_number(header[329:337]) if kind in (CHARACTER, BLOCK_DEVICE) else 0,
            minor=_number(header[337:345]) if kind in (CHARACTER, BLOCK_DEVICE) else 0,
            xattrs={
                key.removeprefix("SCHILY.xattr."): value
                for key, value in pax.items()
                if key.startswith("SCHILY.xattr.")
            },
        )

    def _expect(self, size: int) -> None:
        if size < 0:
            raise ImageError("the archive has an entry of negative size", code="archive-bad")
        self._left, self._padding = size, -size % _BLOCK

    def _read_extension(
        self, kind: bytes, size: int, overrides: dict[str, bytes], shared: dict[str, bytes]
    ) -> None:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise ImageError("the archive has an extended header of impossible size", code="archive-bad")
        data = self._read_exactly(size)
        self._padding = -size % _BLOCK
        if kind == _GNU_NAME:
            overrides["path"] = data.rstrip(b"\0")
        elif kind == _GNU_LINK:
            overrides["linkpath"] = data.rstrip(b"\0")
        else:
            (overrides if kind == _PAX else shared).update(_parse_pax(data))

    def _skip_rest(self) -> None:
        for _ in self.content():
            pass
        if self._padding:
            self._read_exactly(self._padding, may_end=True)
            self._padding = 0

    def _read_exactly(self, size: int, *, may_end: bool = False) -> bytes:
        parts = []
        left = size
        while left:
            piece = self._stream.read(left)
            if not piece:
                break
            parts.append(piece)
            left -= len(piece)
        if left and not (may_end and left == size):
            raise ImageError("the archive is cut off", code="archive-truncated")
        return b"".join(parts)


def _check_sum(header: bytes) -> None:
    written = _number(header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked) if written != sum(blanked) else written
    if written not in (sum(blanked), signed):
        raise ImageError("this is no tar archive, or it is damaged", code="archive-bad")


def _number(text: bytes) -> int:
    if text[0] & 0x80:
        value = int.from_bytes(bytes((text[0] & 0x7F,)) + text[1:], "big")
        return value - (1 << (8 * len(text) - 1)) if text[0] & 0x40 else value
    digits = text.split(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise ImageError("this is no tar archive, or it is damaged", code="archive-bad") from error


def _mtime(pax: bytes | None, header: bytes) -> int:
    try:
        return int(float(pax) * 1_000_000_000) if pax is not None else _number(header[136:148]) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0


def _parse_pax(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 0:
        space = data.find(b" ", at)
        try:
            length = int(data[at:space])
        except ValueError as error:
            raise ImageError("the archive has a damaged extended header", code="archive-bad") from error
        if space < 0 or length <= space - at or at + length > len(data):
            raise ImageError("the archive has a damaged extended header", code="archive-bad")
        key, _, value = data[space + 1 : at + length - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value
        at += length
    for name in ("size", "uid", "gid"):
        if name in found and not found[name].isdigit():
            raise ImageError("the archive has a damaged extended header", code="archive-bad")
    return found
