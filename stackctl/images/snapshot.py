"""From an overlay's upper folder to a layer: its tar, its digest, and the folder that overlayfs stacks.

The folder is moved, never extracted again. Its tar is the same for the same content: sorted, whole seconds, no
names of users.

Source: OCI image-spec, layer.md, "Representing Changes"; kernel overlayfs.rst.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from stackctl.images import tar_writer
from stackctl.images.incoming import IncomingLayer
from stackctl.images.layers import LayerFacts, pending
from stackctl.images.tar_reader import Kind, TarEntry
from stackctl.images.tree import OPAQUE, is_whiteout

_OVERLAY: Final = "trusted.overlay."
_REFERENCES: Final = ("trusted.overlay.redirect", "trusted.overlay.metacopy")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE: Final = 1 << 18
_KEPT: Final = ("user.", "security.capability", "system.posix_acl_access", "system.posix_acl_default")
_NODES: Final = {stat.S_IFIFO: Kind.FIFO, stat.S_IFCHR: Kind.CHAR, stat.S_IFBLK: Kind.BLOCK}


class FolderFacts(NamedTuple):
    """What a folder is like; two with equal facts differ in nothing but what they hold."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]


class Below(Protocol):
    """What lies under the folder: the layers that it was made on."""

    def folder_facts(self, path: str) -> FolderFacts | None:
        """Return the facts of the folder ``path`` (no leading slash), None when there is none."""
        ...


def drop_untouched(upper: str, below: Below) -> bool:
    """Remove folders of ``upper`` in which nothing has changed; return whether nothing at all is left.

    overlayfs copies a folder up for a mountpoint made in it, or for a file made and removed again. Raises OSError.
    """
    fd = os.open(upper, _FOLDER)
    try:
        return _drop(fd, "", below)
    finally:
        os.close(fd)


def _drop(folder: int, path: str, below: Below) -> bool:
    is_empty = True
    for name in os.listdir(folder):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            is_empty = False
            continue
        child = os.open(name, _FOLDER, dir_fd=folder)
        try:
            own = f"{path}/{name}" if path else name
            goes = _drop(child, own, below) and not _is_opaque(child) and below.folder_facts(own) == facts_of(child)
        finally:
            os.close(child)
        if goes:
            os.rmdir(name, dir_fd=folder)
        is_empty = is_empty and goes
    return is_empty


def facts_of(folder: int) -> FolderFacts:
    """Return the facts of an open folder. Raises OSError."""
    status = os.fstat(folder)
    return FolderFacts(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, _xattrs(folder))


def take_snapshot(upper: str, folder: str, tar_path: str) -> IncomingLayer:
    """Make a layer of ``upper``, moving it into the temporary ``folder`` as ``layers.publish`` wants it.

    ``upper`` is on the same file system and nobody else's any more. Raises OSError.
    """
    hasher = hashlib.sha256()
    size_bytes = 0
    root = os.open(upper, _FOLDER)
    try:
        with open(tar_path, "xb", buffering=1 << 20) as tar:
            writer = _TarOfTree(root)
            for piece in writer.pieces():
                hasher.update(piece)
                tar.write(piece)
            size_bytes = writer.size_bytes
    finally:
        os.close(root)
    diff_id = f"sha256:{hasher.hexdigest()}"
    target = pending(folder, diff_id)
    os.mkdir(target, 0o700)
    os.rename(upper, f"{target}/fs")
    with open(f"{target}/layer.json", "w", encoding="ascii") as text:
        json.dump(LayerFacts(diff_id, diff_id, size_bytes)._asdict(), text)
    return IncomingLayer(tar_path, diff_id, diff_id)


def copy_to_tar(upper: str, tar_path: str, omitted: frozenset[str]) -> str:
    """Write the tar of a layer, leaving ``upper`` as it is: it may be in use. Returns the tar's digest.

    ``omitted`` are paths (with a leading slash) to leave out, with what is below them. Raises OSError.
    """
    hasher = hashlib.sha256()
    root = os.open(upper, _FOLDER)
    try:
        with open(tar_path, "xb", buffering=1 << 20) as tar:
            for piece in _TarOfTree(root, strips=False, omitted=frozenset(map(os.fsencode, omitted))).pieces():
                hasher.update(piece)
                tar.write(piece)
    finally:
        os.close(root)
    return f"sha256:{hasher.hexdigest()}"


class _TarOfTree:
    """The tar of one tree. ``strips``: of the overlay's own attributes only what the layer needs is left on it."""

    def __init__(self, root: int, *, strips: bool = True, omitted: frozenset[bytes] = frozenset()) -> None:
        self._root = root
        self._strips = strips
        self._omitted = omitted
        self._links: dict[tuple[int, int], bytes] = {}
        self.size_bytes = 0

    def pieces(self) -> Iterator[bytes]:
        _check(self._root, strips=self._strips)
        yield from self._folder(self._root, b"")
        yield tar_writer.end()

    def _folder(self, folder: int, path: bytes) -> Iterator[bytes]:
        if path and _is_opaque(folder):
            yield tar_writer.header(_marker(path + b"/.wh..wh..opq", 0o755))
        names = [os.fsencode(name) for name in os.listdir(folder)]
        found = [(name, os.stat(name, dir_fd=folder, follow_symlinks=False)) for name in names]
        # Whiteouts come first: what they hide must be gone before anything may take its place.
        for name, status in sorted(found, key=lambda item: (not is_whiteout(item[1]), item[0])):
            own = path + b"/" + name if path else name
            if b"/" + own in self._omitted:
                continue
            if is_whiteout(status):
                yield tar_writer.header(_marker((path + b"/" if path else b"") + b".wh." + name, 0o600))
            elif stat.S_ISDIR(status.st_mode):
                child = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    _check(child, strips=self._strips)
                    yield tar_writer.header(_entry(own, Kind.FOLDER, status, xattrs=_xattrs(child)))
                    yield from self._folder(child, own)
                finally:
                    os.close(child)
            else:
                yield from self._leaf(folder, name, own, status)

    def _leaf(self, folder: int, name: bytes, path: bytes, status: os.stat_result) -> Iterator[bytes]:
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                yield tar_writer.header(_entry(path, Kind.HARD_LINK, status, link=first))
                return
        if stat.S_ISLNK(status.st_mode):
            yield tar_writer.header(_entry(path, Kind.SYMLINK, status, link=os.readlink(name, dir_fd=folder)))
        elif stat.S_ISREG(status.st_mode):
            yield from self._file(folder, name, path, status)
        elif not stat.S_ISSOCK(status.st_mode):
            kind = _NODES[stat.S_IFMT(status.st_mode)]
            device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind is not Kind.FIFO else (0, 0)
            yield tar_writer.header(_entry(path, kind, status)._replace(device=device))

    def _file(self, folder: int, name: bytes, path: bytes, status: os.stat_result) -> Iterator[bytes]:
        fd = os.open(name, _FILE, dir_fd=folder)
        try:
            _check(fd, strips=self._strips)
            yield tar_writer.header(_entry(path, Kind.FILE, status, xattrs=_xattrs(fd))._replace(size=status.st_size))
            left = status.st_size
            while left and (piece := os.read(fd, min(left, _PIECE))):
                left -= len(piece)
                yield piece
            if left:
                raise OSError(5, "has become shorter while it was read", os.fsdecode(path))
        finally:
            os.close(fd)
        yield tar_writer.padding(status.st_size)
        self.size_bytes += status.st_size


def _entry(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    link: bytes = b"",
    xattrs: Sequence[tuple[str, bytes]] = (),
) -> TarEntry:
    mode = 0o777 if kind is Kind.SYMLINK else stat.S_IMODE(status.st_mode)
    return TarEntry(
        path, kind, mode, status.st_uid, status.st_gid, 0, status.st_mtime_ns, link, (0, 0), tuple(xattrs), None
    )


def _marker(path: bytes, mode: int) -> TarEntry:
    return TarEntry(path, Kind.FILE, mode, 0, 0, 0, 0, b"", (0, 0), (), None)


def _is_opaque(folder: int) -> bool:
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError:
        return False


def _xattrs(fd: int) -> tuple[tuple[str, bytes], ...]:
    names = sorted(name for name in os.listxattr(fd) if name.startswith(_KEPT))
    return tuple((name, os.getxattr(fd, name)) for name in names)


def _check(fd: int, *, strips: bool) -> None:
    # State: copied up by the kernel, with attributes that mean something to that overlay alone: a folder with
    # the origin or uuid of another would be taken for damaged, or lead elsewhere.
    for name in os.listxattr(fd):
        if name in _REFERENCES:
            raise OSError(
                errno.EINVAL, f"overlayfs has kept it as a reference ({name})", os.readlink(f"/proc/self/fd/{fd}")
            )
        if strips and name.startswith(_OVERLAY) and name != OPAQUE:
            with suppress(OSError):
                os.removexattr(fd, name)
