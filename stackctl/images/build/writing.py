"""Writing into the new layer of a stage: files and folders below one folder that only we can reach.

Nothing is written through a link: paths were resolved in the stage's view, and folders are reached by descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.build.view import Found, View
from stackctl.images.tree import FolderMetadata, Tree

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTRIBUTES: Final = ("user.", "security.capability", "system.posix_acl_access", "system.posix_acl_default")
_PIECE: Final = 1 << 20
_UPPER: Final = FolderMetadata(0o755, 0, 0, 0, ())


class Owner(NamedTuple):
    """Who a file belongs to."""

    uid: int
    gid: int


class LayerWriter:
    """The layer that is made on top of ``view``, in the empty folder ``upper``. Every method raises OSError."""

    def __init__(self, upper: str, view: View, *, now_ns: int) -> None:
        self._root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._tree = Tree(self._root)
        self._below = view
        self._now_ns = now_ns
        self._inodes: dict[tuple[int, int], str] = {}
        self.is_empty = True

    def close(self) -> None:
        """Let go of the folder, unfinished or not."""
        self._tree.close()
        os.close(self._root)

    def finish(self) -> None:
        """Give every folder what it is to have."""
        self._tree.metadata.setdefault(b"", self._metadata_below("") or _UPPER)
        for path, metadata in self._tree.metadata.items():
            fd = self._tree.folder(path)
            os.fchown(fd, metadata.uid, metadata.gid)
            os.fchmod(fd, metadata.mode)
            for key, value in metadata.xattrs:
                os.setxattr(fd, key, value)
            os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))

    def begin_source(self) -> None:
        """Files that were one are one only within a source."""
        self._inodes.clear()

    def make_parents(self, path: str, owner: Owner) -> None:
        """See that the folder above ``path`` is there: those that are missing belong to ``owner``."""
        parent, _, _ = path.rpartition("/")
        if parent:
            self.make_folder(parent, owner)

    def make_folder(self, path: str, owner: Owner) -> None:
        """See that the folder ``path`` is there, with all above it; one that is there stays as it is.

        Raises ImageError where something else is there.
        """
        done = ""
        for part in path.split("/"):
            done = f"{done}/{part}" if done else part
            key = os.fsencode(done)
            if key in self._tree.metadata:
                continue
            metadata = self._metadata_below(done)
            if metadata is None:
                if self._below.find(done) is not None:
                    raise ImageError(f"/{done} is not a directory", code="copy-destination")
                metadata = FolderMetadata(0o755, owner.uid, owner.gid, self._now_ns, ())
                self.is_empty = False
            self._tree.folder(key)
            self._tree.metadata[key] = metadata

    def date_folder(self, path: str, mtime_ns: int) -> None:
        """Say when the folder ``path``, which was just made, was changed last."""
        key = os.fsencode(path)
        self._tree.metadata[key] = self._tree.metadata[key]._replace(mtime_ns=mtime_ns)

    def put_folder(self, path: str, source: Found, owner: Owner, mode: int, *, with_attributes: bool) -> None:
        """Make the folder ``path`` what ``source`` is; whether it was there or not. Its parent is there."""
        self.is_empty = False
        self._tree.folder(os.fsencode(path))
        attributes = _attributes(source.where) if with_attributes else {}
        self._tree.metadata[os.fsencode(path)] = FolderMetadata(
            mode, owner.uid, owner.gid, source.status.st_mtime_ns, tuple(attributes.items())
        )

    def put(self, path: str, source: Found, owner: Owner, mode: int, *, with_attributes: bool) -> None:
        """Make ``path`` what ``source`` is, no folder; what is there already is replaced. Its parent is there."""
        self.is_empty = False
        parent, name = self._place(path)
        status = source.status
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = self._inodes.setdefault(key, path)
            if first != path:
                self._link(first, path)
                return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source.where), name, dir_fd=parent)
            os.chown(name, owner.uid, owner.gid, dir_fd=parent, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            self._file(parent, name, source, owner, mode, with_attributes=with_attributes)
        else:
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=parent)
            os.chown(name, owner.uid, owner.gid, dir_fd=parent, follow_symlinks=False)
            os.chmod(name, mode, dir_fd=parent)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def put_text(self, path: str, content: bytes, owner: Owner, mode: int) -> None:
        """Make ``path`` a file with ``content``. Its parent is there."""
        self.is_empty = False
        parent, name = self._place(path)
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.fchown(fd, owner.uid, owner.gid)
            os.fchmod(fd, mode)
            os.utime(fd, ns=(self._now_ns, self._now_ns))
        finally:
            os.close(fd)

    def _place(self, path: str) -> tuple[int, bytes]:
        """Return the folder and the name in it, where nothing is any more."""
        folder, _, name = os.fsencode(path).rpartition(b"/")
        parent = self._tree.folder(folder)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        return parent, name

    def _link(self, first: str, path: str) -> None:
        folder, _, name = os.fsencode(first).rpartition(b"/")
        source = os.dup(self._tree.folder(folder))
        try:
            parent, own = self._place(path)
            os.link(name, own, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _file(self, parent: int, name: bytes, source: Found, owner: Owner, mode: int, *, with_attributes: bool) -> None:
        reading = os.open(source.where, _READ)
        try:
            writing = os.open(name, _CREATE, 0o600, dir_fd=parent)
            try:
                while os.sendfile(writing, reading, None, _PIECE):
                    pass
                # Order: chown clears set-id bits and capabilities.
                os.fchown(writing, owner.uid, owner.gid)
                os.fchmod(writing, mode)
                for key, value in (_attributes(reading) if with_attributes else {}).items():
                    os.setxattr(writing, key, value)
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _metadata_below(self, path: str) -> FolderMetadata | None:
        facts = self._below.folder_facts(path)
        return None if facts is None else FolderMetadata(*facts)


def _attributes(of: int | str) -> Mapping[str, bytes]:
    if isinstance(of, int):
        return {key: os.getxattr(of, key) for key in os.listxattr(of) if key.startswith(_ATTRIBUTES)}
    names = os.listxattr(of, follow_symlinks=False)
    return {key: os.getxattr(of, key, follow_symlinks=False) for key in names if key.startswith(_ATTRIBUTES)}
