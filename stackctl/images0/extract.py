"""Putting a layer on disk for overlay. Every name is walked by descriptor; none is resolved through a link.

Threat: a layer is written by others. An entry may name ``..``, an absolute path, a path through a link that an
earlier entry made, or a hard link to a file of the host. So each parent is opened with O_NOFOLLOW from the one
above, everything is made with O_EXCL below an open directory, and what is in the way is removed first.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from stackctl.errors import ImageError
from stackctl.images0 import tar
from stackctl.images0.tar import Entry, Readable, TarReader

MOST_ENTRIES: Final = 5_000_000
MOST_BYTES: Final = 256 << 30
_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_OPEN: Final = 256


class Extractor:
    """Extracts one layer into an empty directory. Needs root for owners and devices."""

    def __init__(self, folder: str) -> None:
        self._root = os.open(folder, _OPEN_DIRECTORY)
        self._open: dict[bytes, int] = {b"": self._root}
        self._times: dict[bytes, int] = {}
        self._bytes = 0

    def extract(self, stream: Readable) -> None:
        """Extract everything. Raises ImageError naming the entry; what is extracted by then stays."""
        reader = TarReader(stream)
        try:
            for count, entry in enumerate(reader):
                if count > MOST_ENTRIES:
                    raise ImageError(f"the layer has more than {MOST_ENTRIES} entries", code="archive-too-large")
                try:
                    self._one(entry, reader)
                except OSError as error:
                    shown = entry.name.decode("utf-8", "replace")
                    raise ImageError(
                        f"entry {shown!r} cannot be extracted: {error.strerror}", code="archive-entry"
                    ) from error
            self._set_times()
        finally:
            for fd in self._open.values():
                os.close(fd)

    def _one(self, entry: Entry, reader: TarReader) -> None:
        path = _normalise(entry.name)
        folder, _, name = path.rpartition(b"/")
        if not path:
            self._change_root(entry)
            return
        parent = self._folder(folder)
        if name == _OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
        elif name.startswith(_WHITEOUT):
            self._whiteout(parent, folder, name)
        else:
            self._make(entry, reader, parent, path, name)

    def _change_root(self, entry: Entry) -> None:
        if entry.kind != tar.DIRECTORY:
            raise ImageError("the layer's root is not a directory", code="archive-entry")
        os.fchown(self._root, entry.uid, entry.gid)
        os.fchmod(self._root, entry.mode)
        self._times[b""] = entry.mtime_ns

    def _whiteout(self, parent: int, folder: bytes, name: bytes) -> None:
        hidden = name[len(_WHITEOUT) :]
        if hidden.startswith(_WHITEOUT):  # .wh..wh.plnk and the like: of a file system long gone
            return
        if hidden in (b"", b".", b".."):
            raise ImageError(f"whiteout {name!r} hides nothing", code="archive-entry")
        self._forget_below(folder + b"/" + hidden if folder else hidden)
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        except FileExistsError:
            return  # never something of the same layer

    def _make(self, entry: Entry, reader: TarReader, parent: int, path: bytes, name: bytes) -> None:
        if entry.kind == tar.DIRECTORY:
            self._make_directory(entry, parent, path, name)
            return
        self._clear(parent, path, name)
        if entry.kind == tar.HARD_LINK:
            self._link(entry, parent, name)
            return
        if entry.kind == tar.FILE:
            self._write_file(entry, reader, parent, name)
            return
        if entry.kind == tar.SYMBOLIC_LINK:
            os.symlink(entry.link, name, dir_fd=parent)
        elif entry.kind in (tar.CHARACTER, tar.BLOCK_DEVICE, tar.FIFO):
            kinds = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
            os.mknod(name, kinds[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
        else:
            return  # a kind nobody writes into images
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMBOLIC_LINK:
            os.chmod(name, entry.mode, dir_fd=parent)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _make_directory(self, entry: Entry, parent: int, path: bytes, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._clear(parent, path, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        _set_attributes(fd, entry)
        self._remember(path, fd)
        self._times[path] = entry.mtime_ns

    def _write_file(self, entry: Entry, reader: TarReader, parent: int, name: bytes) -> None:
        self._bytes += entry.size
        if self._bytes > MOST_BYTES:
            raise ImageError(f"the layer has more than {MOST_BYTES >> 30} GiB", code="archive-too-large")
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            for piece in reader.content():
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            _set_attributes(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _link(self, entry: Entry, parent: int, name: bytes) -> None:
        target = _normalise(entry.link)
        folder, _, base = target.rpartition(b"/")
        source = self._folder(folder, is_made=False)
        try:
            os.link(base, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError as error:
            shown = entry.link.decode("utf-8", "replace")
            raise ImageError(f"hard link to {shown!r}, which the layer does not have", code="archive-entry") from error

    def _clear(self, parent: int, path: bytes, name: bytes) -> None:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        self._forget_below(path)
        _remove_tree(parent, name)

    def _folder(self, path: bytes, *, is_made: bool = True) -> int:
        """Return a descriptor of a directory of the layer, made with its parents where missing."""
        known = self._open.get(path)
        if known is not None:
            return known
        above, _, name = path.rpartition(b"/")
        parent = self._folder(above, is_made=is_made)
        try:
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not is_made:
                raise
            os.mkdir(name, 0o755, dir_fd=parent)
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not is_made:
                raise
            # A link or file stands where a directory must be: the later entry wins.
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        self._remember(path, fd)
        return fd

    def _remember(self, path: bytes, fd: int) -> None:
        old = self._open.pop(path, None)
        if old is not None:
            os.close(old)
        if len(self._open) > _MOST_OPEN:
            keep = {b"", *_prefixes(path)}
            for other in [key for key in self._open if key not in keep]:
                os.close(self._open.pop(other))
        self._open[path] = fd

    def _forget_below(self, path: bytes) -> None:
        for other in [key for key in self._open if key == path or key.startswith(path + b"/")]:
            os.close(self._open.pop(other))
        for other in [key for key in self._times if key == path or key.startswith(path + b"/")]:
            del self._times[other]

    def _set_times(self) -> None:
        # Last: each entry made below changes its directory's time.
        for path in sorted(self._times, key=lambda name: -name.count(b"/")):
            time_ns = self._times[path]
            os.utime(self._folder(path), ns=(time_ns, time_ns))


def _prefixes(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _normalise(name: bytes) -> bytes:
    if b"\0" in name:
        raise ImageError(f"entry {name!r} has a NUL in its name", code="archive-entry")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ImageError(f"entry {name.decode('utf-8', 'replace')!r} leaves the layer", code="archive-entry")
    return b"/".join(parts)


def _set_attributes(fd: int, entry: Entry) -> None:
    # Order: owner, then mode (chown clears set-user-id), then attributes (chown drops capabilities).
    os.fchown(fd, entry.uid, entry.gid)
    os.fchmod(fd, entry.mode)
    for key, value in entry.xattrs.items():
        if not key.startswith("trusted.overlay."):
            os.setxattr(fd, key, value)


def _remove_tree(parent: int, name: bytes) -> None:
    fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    try:
        for item in os.scandir(fd):
            if item.is_dir(follow_symlinks=False):
                _remove_tree(fd, os.fsencode(item.name))
            else:
                os.unlink(item.name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
