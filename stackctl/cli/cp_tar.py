"""Local files as a tar stream, and a tar stream as local files: what `cp` needs on this side."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import threading
from collections.abc import Iterator
from typing import IO, Final, Protocol

from stackctl.errors import StackctlError

_PIECE: Final = 1 << 18


class Readable(Protocol):
    """Where a stream comes from."""

    def read(self, size: int, /) -> bytes: ...


class Pieces:
    """A stream over pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class PackedFiles:
    """A local file or folder as a tar stream whose first member is called ``name``; made while it is read."""

    def __init__(self, path: str, name: str, *, keeps_owner: bool) -> None:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        self._file: IO[bytes] = os.fdopen(read_end, "rb")
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._pack, args=(path, name, write_end, keeps_owner), daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end. Raises what reading the files raised."""
        data = self._file.read(size)
        if not data and self._failure is not None:
            raise self._failure
        return data

    def _pack(self, path: str, name: str, write_end: int, keeps_owner: bool) -> None:
        def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
            if not keeps_owner:
                member.uid = member.gid = 0
            member.uname = member.gname = ""
            return member

        try:
            with os.fdopen(write_end, "wb") as sink, tarfile.open(fileobj=sink, mode="w|") as tar:
                tar.add(path, name, filter=owned)
        except BrokenPipeError:  # the engine wants no more, and says why
            return
        except OSError as error:
            self._failure = error


def unpack(stream: Readable, target: str, *, keeps_owner: bool) -> None:
    """Write the stream's first member as ``target``, and what is below it below that.

    Nothing is written outside of it, whatever the members are called. Raises StackctlError, OSError.
    """
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
        for member in tar:
            place = _place(target, member.name)
            _check_parent(target, place)
            _write(tar, member, target, place)
            if keeps_owner and os.geteuid() == 0:
                os.chown(place, member.uid, member.gid, follow_symlinks=False)
            if not member.issym():
                os.chmod(place, member.mode & 0o7777)


def _place(target: str, name: str) -> str:
    """Return where a member goes: its first component stands for the target."""
    parts = [part for part in posixpath.normpath(name).split("/") if part not in ("", ".")]
    below = parts if name.startswith("./") or name == "." else parts[1:]
    if ".." in parts:
        raise _unsafe(name)
    return os.path.join(target, *below) if below else target


def _check_parent(target: str, place: str) -> None:
    # Threat: a link among the members would lead a later member anywhere.
    if place == target:
        return
    top = os.path.realpath(target)
    parent = os.path.realpath(os.path.dirname(place))
    if os.path.commonpath([top, parent]) != top:
        raise _unsafe(place)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: str, place: str) -> None:
    if member.isdir():
        if os.path.islink(place) and place != target:
            os.unlink(place)
        os.makedirs(place, 0o700, exist_ok=True)
        return
    if os.path.lexists(place) and (place != target or member.issym()):
        os.unlink(place)
    if member.isreg():
        source = tar.extractfile(member)
        assert source is not None
        with open(place, "wb") as file:
            shutil.copyfileobj(source, file, _PIECE)
        os.utime(place, (member.mtime, member.mtime))
    elif member.issym():
        os.symlink(member.linkname, place)
    elif member.islnk():
        first = _place(target, member.linkname)
        _check_parent(target, first)
        os.link(first, place, follow_symlinks=False)
    else:
        raise StackctlError(f"cannot copy {member.name}: only files, folders and links can be", code="copy-kind")


def _unsafe(name: str) -> StackctlError:
    return StackctlError(f"the archive would write outside of its folder: {name}", code="bad-archive")
