"""A tar stream into a folder of a container: every name is resolved inside the container's root, by descriptor."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import tarfile
from dataclasses import dataclass
from typing import IO, Final, Protocol

from stackctl.errors import UsageError
from stackctl.runtime.init import paths

_PIECE: Final = 1 << 18
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE: Final = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Readable(Protocol):
    """Where the stream comes from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """``owner`` (uid, gid) takes the place of the archive's owners; ``keeps_kind``: no folder for a file, nor back."""

    owner: tuple[int, int] | None = None
    keeps_kind: bool = False


def unpack(root: int, folder: str, stream: Readable, rules: Rules) -> None:
    """Unpack a tar stream, compressed or not, into ``folder`` inside ``root``. Raises UsageError, OSError."""
    unpacker = _Unpacker(root, folder, rules)
    try:
        with tarfile.open(fileobj=stream, mode="r|*", bufsize=_PIECE) as tar:  # type: ignore[call-overload]
            for member in tar:
                unpacker.take(tar, member)
    except tarfile.ReadError as error:
        if unpacker.count or str(error) != "empty file":
            raise UsageError(f"the archive cannot be read: {error}", code="bad-archive") from error
    except tarfile.TarError as error:
        raise UsageError(f"the archive cannot be read: {error}", code="bad-archive") from error
    unpacker.finish()


class _Unpacker:
    def __init__(self, root: int, folder: str, rules: Rules) -> None:
        self._root = root
        self._folder = folder
        self._rules = rules
        self._folder_times: list[tuple[str, float]] = []
        self.count = 0

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Unpack one member."""
        self.count += 1
        path = _checked(member.name)
        if not path:
            return
        parent, name = posixpath.split(path)
        above = self._open_parent(parent)
        try:
            self._make(tar, member, above, os.fsencode(name))
        finally:
            os.close(above)
        if member.isdir():
            self._folder_times.append((path, member.mtime))

    def finish(self) -> None:
        """Give folders their times, which making what is in them has changed."""
        for path, modified in reversed(self._folder_times):
            with contextlib.suppress(OSError):
                fd = paths.open_in_root(self._root, self._inside(path), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.utime(fd, (modified, modified))
                finally:
                    os.close(fd)

    def _inside(self, path: str) -> bytes:
        return os.fsencode(f"{self._folder}/{path}")

    def _open_parent(self, parent: str) -> int:
        path = self._inside(parent)
        try:
            return paths.open_in_root(self._root, path, _FOLDER)
        except FileNotFoundError:
            return paths.make_directory(self._root, path)

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, above: int, name: bytes) -> None:
        before = _mode_at(above, name)
        if member.isdir():
            self._make_folder(member, above, name, before)
            return
        if before is not None and stat.S_ISDIR(before):
            raise UsageError(f'cannot overwrite directory "{member.name}" with non-directory', code="bad-archive")
        if member.isreg():
            source = tar.extractfile(member)
            assert source is not None
            self._write(source, member, above, name)
        elif member.issym():
            _unlink(above, name)
            os.symlink(os.fsencode(member.linkname), name, dir_fd=above)
            self._own(member, above, name)
        elif member.islnk():
            self._link(member, above, name)
        elif member.isfifo():
            _unlink(above, name)
            os.mknod(name, stat.S_IFIFO | 0o600, dir_fd=above)
            self._own(member, above, name)
        else:
            raise UsageError(f"not supported by this engine: {member.name} is a device", code="bad-archive")

    def _make_folder(self, member: tarfile.TarInfo, above: int, name: bytes, before: int | None) -> None:
        if before is not None and not stat.S_ISDIR(before):
            # What a link leads to may be a folder, and then is what was meant.
            if stat.S_ISLNK(before) and not self._rules.keeps_kind:
                return
            if self._rules.keeps_kind:
                raise UsageError(f'cannot overwrite non-directory "{member.name}" with directory', code="bad-archive")
            _unlink(above, name)
        if before is None or not stat.S_ISDIR(before):
            os.mkdir(name, 0o700, dir_fd=above)
        self._own(member, above, name)

    def _write(self, source: IO[bytes], member: tarfile.TarInfo, above: int, name: bytes) -> None:
        try:
            _unlink(above, name)
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=above)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            fd = os.open(name, _OLD_FILE, dir_fd=above)  # a file that is mounted there
        with open(fd, "wb", buffering=0) as file:
            while data := source.read(_PIECE):
                view = memoryview(data)
                while view:
                    view = view[file.write(view) or 0 :]
            uid, gid = self._owner(member)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, member.mode & 0o7777)
            os.utime(fd, (member.mtime, member.mtime))

    def _link(self, member: tarfile.TarInfo, above: int, name: bytes) -> None:
        target = _checked(member.linkname)
        parent, base = posixpath.split(target)
        source = paths.open_in_root(self._root, self._inside(parent), _FOLDER)
        try:
            _unlink(above, name)
            os.link(os.fsencode(base), name, src_dir_fd=source, dst_dir_fd=above, follow_symlinks=False)
        finally:
            os.close(source)

    def _own(self, member: tarfile.TarInfo, above: int, name: bytes) -> None:
        uid, gid = self._owner(member)
        os.chown(name, uid, gid, dir_fd=above, follow_symlinks=False)
        if not member.issym():
            # Opened without following: a name that became a link meanwhile would hand our rights on.
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                os.chmod(paths.through_proc(fd), member.mode & 0o7777)
            finally:
                os.close(fd)

    def _owner(self, member: tarfile.TarInfo) -> tuple[int, int]:
        return self._rules.owner or (member.uid, member.gid)


def _checked(name: str) -> str:
    """Return a member's path below the folder, "" for the folder itself. Raises UsageError when it leaves it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UsageError(f"the archive's member {name!r} is outside of its folder", code="bad-archive")
    return "/".join(parts)


def _mode_at(above: int, name: bytes) -> int | None:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _unlink(above: int, name: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=above)
