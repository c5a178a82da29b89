"""The files of an image archive, spooled to a folder: names lead to files, never to paths on the disk."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.chunks import ChunkReader, Readable, chunks_of
from stackctl.images.compression import decompressed
from stackctl.images.config import read_json
from stackctl.images.limits import MAX_JSON_BYTES, MAX_MEMBERS
from stackctl.images.tar_reader import Kind, TarEntry, TarReader

_HOPS: Final = 10
_WHAT: Final = "the archive"


class Member(NamedTuple):
    """One file: where it is, its true digest and size."""

    path: str
    digest: str
    size: int


class Members:
    """Files by their name in the archive."""

    def __init__(self) -> None:
        self._files: dict[str, Member | str] = {}

    def put(self, name: str, member: Member | str) -> None:
        """Add a file, or a link: the normal name of another. The last of one name counts."""
        self._files[name] = member

    def find(self, name: str) -> Member | None:
        """Return the file called ``name``, None when there is none."""
        found: Member | str | None = _normal(name)
        for _ in range(_HOPS):
            if not isinstance(found, str):
                break
            found = self._files.get(found)
        return found if isinstance(found, Member) else None

    def get(self, name: str) -> Member:
        """Return the file called ``name``. Raises ImageError."""
        found = self.find(name)
        if found is None:
            raise ImageError(f"{_WHAT} has no file {name[:200]!r}", code="archive-incomplete")
        return found

    def blob(self, digest: str) -> Member | None:
        """Return the blob ``sha256:HEX`` of an OCI layout, None when it is absent.

        Raises ImageError when the file under that name is not the blob.
        """
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or len(hexadecimal) != 64 or not hexadecimal.isalnum():
            raise ImageError(f"digest {digest[:80]!r} is not of sha256", code="archive-unsupported")
        found = self.find(f"blobs/sha256/{hexadecimal}")
        if found is not None and found.digest != digest:
            raise ImageError(f"blob {digest} is not what it says: it is {found.digest}", code="digest-mismatch")
        return found

    def read(self, member: Member, what: str) -> bytes:
        """Return the content of a small file. Raises ImageError for a large one; OSError."""
        if member.size > MAX_JSON_BYTES:
            raise ImageError(f"{what} is larger than {MAX_JSON_BYTES} bytes", code="image-too-large")
        with open(member.path, "rb") as file:
            return file.read()

    def json(self, member: Member, what: str) -> dict[str, Any]:
        """Return the JSON object in a small file. Raises ImageError; OSError."""
        return read_json(self.read(member, what), what)


def spool(stream: Readable, folder: str, find_blob: Callable[[str], str]) -> Members:
    """Read an archive, compressed or not, to its end, writing its files into ``folder``.

    ``find_blob`` returns the path of a blob the store has already, or "". Digests are those of what was read.
    Raises ImageError, OSError.
    """
    members = Members()
    reader = TarReader(ChunkReader(decompressed(chunks_of(stream), _WHAT), _WHAT))
    count = 0
    for entry in reader.entries():
        count += 1
        if count > MAX_MEMBERS:
            raise ImageError(f"{_WHAT} holds more than {MAX_MEMBERS} files", code="image-too-large")
        name = _normal(entry.name.decode("utf-8", "surrogateescape"))
        link = entry.link.decode("utf-8", "surrogateescape")
        match entry.kind:
            case Kind.FILE:
                members.put(name, _spool_one(reader, entry, f"{folder}/{count}", find_blob))
            case Kind.SYMLINK:
                members.put(name, _normal(posixpath.join(posixpath.dirname(name), link)))
            case Kind.HARD_LINK:
                members.put(name, _normal(link))
            case _:
                continue
    if not count:
        raise ImageError(f"{_WHAT} is empty, or no tar", code="archive-corrupt")
    return members


def _spool_one(reader: TarReader, entry: TarEntry, path: str, find_blob: Callable[[str], str]) -> Member:
    if entry.parts is not None:
        raise ImageError(f"{_WHAT} holds a sparse file", code="archive-unsupported")
    hasher = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", buffering=0) as file:
        for piece in reader.content():
            hasher.update(piece)
            while piece:
                piece = piece[file.write(piece) :]
    digest = f"sha256:{hasher.hexdigest()}"
    known = find_blob(digest)
    if known:
        os.unlink(path)
    return Member(known or path, digest, entry.size)


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")
