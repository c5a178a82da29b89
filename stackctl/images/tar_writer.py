"""Writing tar streams: ustar, with PAX records only where a header has no room. The same entries give the same bytes.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stackctl.images.tar_reader import Kind, TarEntry

_BLOCK: Final = 512
_NS: Final = 1_000_000_000
_END: Final = bytes(2 * _BLOCK)
_MAX_SIZE: Final = 8**11
_MAX_ID: Final = 8**7
_TYPES: Final = {
    Kind.FILE: b"0",
    Kind.HARD_LINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHAR: b"3",
    Kind.BLOCK: b"4",
    Kind.FOLDER: b"5",
    Kind.FIFO: b"6",
}


def header(entry: TarEntry) -> bytes:
    """Return the blocks before an entry's content. Times are cut to whole seconds, as Docker cuts them."""
    seconds = entry.mtime_ns // _NS
    records: list[tuple[bytes, bytes]] = []
    if len(entry.name) > 100 or not entry.name.isascii():
        records.append((b"path", entry.name))
    if len(entry.link) > 100 or not entry.link.isascii():
        records.append((b"linkpath", entry.link))
    for key, number, limit in (
        (b"size", entry.size, _MAX_SIZE),
        (b"uid", entry.uid, _MAX_ID),
        (b"gid", entry.gid, _MAX_ID),
        (b"mtime", seconds, _MAX_SIZE),
    ):
        if not 0 <= number < limit:
            records.append((key, b"%d" % number))
    records += [(b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape"), value) for key, value in entry.xattrs]
    block = _block(entry, seconds)
    return _extension(records) + block if records else block


def padding(size: int) -> bytes:
    """Return what fills up the last block of ``size`` bytes of content."""
    return bytes(-size % _BLOCK)


def end() -> bytes:
    """Return what ends a tar."""
    return _END


def _block(entry: TarEntry, seconds: int) -> bytes:
    # What does not fit is in the records before; readers that know none see it cut.
    return _fields(
        # Cut after a slash, it would be taken for a folder's.
        name=entry.name[:100].rstrip(b"/"),
        mode=entry.mode,
        uid=entry.uid if 0 <= entry.uid < _MAX_ID else 0,
        gid=entry.gid if 0 <= entry.gid < _MAX_ID else 0,
        size=entry.size if entry.size < _MAX_SIZE else 0,
        mtime=seconds if 0 <= seconds < _MAX_SIZE else 0,
        kind=_TYPES[entry.kind],
        link=entry.link[:100],
        device=entry.device,
    )


def _fields(
    *,
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    kind: bytes,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    before = b"%-100b%07o\0%07o\0%07o\0%011o\0%011o\0" % (b"", mode & 0o7777, uid, gid, size, mtime)
    before = name.ljust(100, b"\0") + before[100:]
    after = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % device
    unsummed = (before + b" " * 8 + after).ljust(_BLOCK, b"\0")
    return before + b"%06o\0 " % sum(unsummed) + unsummed[156:]


def _extension(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    payload = b"".join(_record(key, value) for key, value in sorted(records))
    head = _fields(name=b"PaxHeaders.0", mode=0o644, uid=0, gid=0, size=len(payload), mtime=0, kind=b"x")
    return head + payload + padding(len(payload))


def _record(key: bytes, value: bytes) -> bytes:
    """Return ``LENGTH KEY=VALUE\\n``, whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
