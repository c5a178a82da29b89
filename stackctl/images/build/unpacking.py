"""Archives of a context: unpacked by ADD, and the context itself as it is sent."""

from __future__ import annotations

import os
import stat
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.build.view import Found
from stackctl.images.chunks import Readable, capped, chunks_of
from stackctl.images.compression import decompressed
from stackctl.images.extract import extract_plain
from stackctl.images.limits import MAX_TAR_BYTES

_MAGICS: Final = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_USTAR: Final = b"ustar"
_USTAR_AT: Final = 257


def is_archive(found: Found) -> bool:
    """Whether a file is a tar, plain or compressed, by what it begins with. Raises OSError."""
    if not stat.S_ISREG(found.status.st_mode):
        return False
    fd = os.open(found.where, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        start = file.read(512)
        if start.startswith(_MAGICS):
            file.seek(0)
            try:
                start = _first_block(file)
            except ImageError:
                return False
    return start[_USTAR_AT : _USTAR_AT + len(_USTAR)] == _USTAR


def _first_block(file: Readable) -> bytes:
    found = b""
    for piece in decompressed(chunks_of(file), "the archive"):
        found += bytes(piece)
        if len(found) >= 512:
            break
    return found[:512]


def unpack(path: str, folder: str) -> None:
    """Unpack the archive at ``path`` into the empty ``folder``. Raises ImageError, OSError."""
    with open(path, "rb") as file:
        unpack_stream(file, folder, os.path.basename(path))


def unpack_stream(stream: Readable, folder: str, what: str) -> None:
    """Unpack a tar, plain or compressed, read to its end. Raises ImageError, naming ``what``; OSError."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        extract_plain(capped(decompressed(chunks_of(stream), what), MAX_TAR_BYTES, what), root, what)
    finally:
        os.close(root)
