"""Files of a container as a tar stream, read by descriptor: no link is followed, however the files change meanwhile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from typing import Final

from stackctl.engines.path_stat import Place
from stackctl.errors import NotFound

_PIECE: Final = 1 << 18
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


class _Sink(io.RawIOBase):
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # tarfile hands over nothing but bytes
        self._send(data)
        return len(data)


def send_tar(place: Place, send: Callable[[bytes], None]) -> None:
    """Hand what is at ``place``, with all below it, to ``send`` as a tar stream. Raises NotFound, OSError."""
    with tarfile.open(fileobj=_Sink(send), mode="w|", bufsize=_PIECE, format=tarfile.PAX_FORMAT) as tar:
        if not _Packer(tar).add(place.folder, place.name, place.arcname):
            raise NotFound(f"Could not find the file {place.path}", code="no-such-path")


class _Packer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._linked: dict[tuple[int, int], str] = {}

    def add(self, folder: int, name: bytes, arcname: str) -> bool:
        """Add an entry of an open folder; False when there is none any more."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket: tar has no word for it
            return True
        member = tarfile.TarInfo(arcname)
        member.type, member.mode, member.mtime = kind, stat.S_IMODE(status.st_mode), int(status.st_mtime)
        member.uid, member.gid = status.st_uid, status.st_gid
        if kind == tarfile.SYMTYPE:
            member.linkname = os.fsdecode(os.readlink(name, dir_fd=folder))
        elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        elif kind == tarfile.REGTYPE:
            self._add_file(folder, name, member, status)
            return True
        if arcname:  # a root has no name
            self._tar.addfile(member)
        if kind == tarfile.DIRTYPE:
            self._add_content(folder, name, arcname)
        return True

    def _add_file(self, folder: int, name: bytes, member: tarfile.TarInfo, status: os.stat_result) -> None:
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and key in self._linked:
            member.type, member.linkname = tarfile.LNKTYPE, self._linked[key]
            self._tar.addfile(member)
            return
        fd = os.open(name, _FILE, dir_fd=folder)
        with open(fd, "rb", buffering=0) as file:
            now = os.fstat(fd)
            if not stat.S_ISREG(now.st_mode):  # swapped meanwhile
                return
            member.size = now.st_size
            self._tar.addfile(member, _Exactly(file, now.st_size))
        self._linked[key] = member.name

    def _add_content(self, folder: int, name: bytes, arcname: str) -> None:
        try:
            inside = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:  # swapped or gone meanwhile
            return
        try:
            for entry in sorted(os.listdir(inside)):
                self.add(inside, os.fsencode(entry), f"{arcname}/{entry}" if arcname else entry)
        finally:
            os.close(inside)


class _Exactly(io.RawIOBase):
    """As many bytes as a file had, though it grows or shrinks while it is read."""

    def __init__(self, file: io.RawIOBase | io.FileIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted) or b""
        if len(data) < wanted:
            data += bytes(wanted - len(data))
        self._left -= wanted
        return data
