"""The folder tree a layer is extracted into: reached descriptor by descriptor, never through a link."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.limits import MAX_FOLDERS, MAX_REPLACED_FOLDERS

OPAQUE: Final = "trusted.overlay.opaque"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHED: Final = 64


class FolderMetadata(NamedTuple):
    """What a folder gets once everything is in it."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]


_IMPLIED: Final = FolderMetadata(0o755, 0, 0, 0, ())


class Tree:
    """Folders below ``root``, a descriptor that stays the caller's. Paths are normal: no empty part, no dots.

    Nobody else may change the tree meanwhile. ``metadata`` collects what each folder is to get at the end:
    a folder is made with mode 0700, owned by us, so that nothing is inherited from it.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: dict[bytes, int] = {}
        self._replaced = 0
        self.metadata: dict[bytes, FolderMetadata] = {}

    def folder(self, path: bytes) -> int:
        """Return a descriptor of the folder ``path``, valid until the next call; missing folders are made.

        Raises ImageError when a part of it is there and is no folder, OSError.
        """
        if not path:
            return self._root
        fd = self._open.pop(path, -1)
        if fd < 0:
            parent_path, _, name = path.rpartition(b"/")
            fd = self._descend(self.folder(parent_path), path, name)
            self._make_room()
        self._open[path] = fd
        return fd

    def make(self, parent: int, path: bytes, name: bytes) -> None:
        """Make the folder ``name`` in ``parent``, whatever else is there being replaced; a folder stays.

        Raises OSError.
        """
        self._count()
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            return
        except FileExistsError:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return
        os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        if is_whiteout(status):
            # The folder below was removed by the same layer, so nothing of it may show through.
            set_opaque(self.folder(path))

    def clear(self, parent: int, path: bytes, name: bytes) -> None:
        """Remove ``name`` from ``parent``, with all that is below. Raises OSError."""
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        self._replaced += 1
        if self._replaced > MAX_REPLACED_FOLDERS:
            raise ImageError(f"the layer replaces more than {MAX_REPLACED_FOLDERS} of its own folders")
        below = path + b"/"
        for known in [known for known in self._open if known == path or known.startswith(below)]:
            os.close(self._open.pop(known))
        for known in [known for known in self.metadata if known == path or known.startswith(below)]:
            del self.metadata[known]
        shutil.rmtree(name, dir_fd=parent)

    def close(self) -> None:
        """Close every descriptor but the root's."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _descend(self, parent: int, path: bytes, name: bytes) -> int:
        try:
            return os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            self._count()
            os.mkdir(name, 0o700, dir_fd=parent)
        except NotADirectoryError:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not is_whiteout(status):
                kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no folder"
                raise ImageError(
                    f"{path!r} holds files in the layer, but is {kind} there", code="archive-refused"
                ) from None
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o700, dir_fd=parent)
            fd = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
            set_opaque(fd)
            self.metadata.setdefault(path, _IMPLIED)
            return fd
        self.metadata.setdefault(path, _IMPLIED)
        return os.open(name, _FOLDER_FLAGS, dir_fd=parent)

    def _count(self) -> None:
        if len(self.metadata) >= MAX_FOLDERS:
            raise ImageError(f"the layer holds more than {MAX_FOLDERS} folders", code="image-too-large")

    def _make_room(self) -> None:
        # A dict keeps order, and a folder used moves to its end: the first is the one unused for longest.
        while len(self._open) >= _CACHED:
            os.close(self._open.pop(next(iter(self._open))))


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs takes the file for the removal of a lower one: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def set_opaque(folder: int) -> None:
    """Let nothing of lower layers show in the folder. Raises OSError.

    Source: kernel Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
    """
    os.setxattr(folder, OPAQUE, b"y")
