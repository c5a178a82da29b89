"""Extraction of a layer's tar into the form overlayfs takes as a lower folder.

Ours, because it must be safe (no name is ever resolved through a link, so nothing outside the layer can be
reached), must turn whiteouts into overlayfs's own, and is three times as fast as ``tarfile``. Needs root.

Source: OCI image-spec, layer.md, "Applying Changesets" and "Whiteouts"; kernel overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.chunks import ChunkReader
from stackctl.images.limits import MAX_DEPTH
from stackctl.images.tar_reader import Kind, TarEntry, TarReader
from stackctl.images.tree import FolderMetadata, Tree, set_opaque

_WHITEOUT: Final = b".wh."
_WHITEOUT_META: Final = b".wh..wh."
_OPAQUE: Final = b".wh..wh..opq"
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS: Final = bytes(256 * 1024)
_SMALL_BYTES: Final = 64 * 1024
_NODES: Final = {Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO}
_XATTRS: Final = ("user.", "security.capability", "system.posix_acl_access", "system.posix_acl_default")
_MAX_MAJOR: Final = 2**12
_MAX_MINOR: Final = 2**20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Extracted(NamedTuple):
    """What a layer holds: bytes of its files, holes included, and its entries."""

    size_bytes: int
    entries: int


def extract(chunks: Iterator[bytes], root: int, what: str) -> Extracted:
    """Extract the tar in ``chunks`` below ``root``, a descriptor of an empty folder only we can reach.

    Reads ``chunks`` to their end. Names may not be absolute nor hold ``..``; a later entry replaces an
    earlier one; hard links reach only what is in this layer. Nothing is synchronised to disk. Raises
    ImageError, naming ``what``, leaving the folder half filled.
    """
    # A folder made below one with the set-group-id bit has it too, and would pass it on.
    os.fchown(root, 0, 0)
    os.fchmod(root, 0o700)
    extractor = _Extractor(root, TarReader(ChunkReader(chunks, what)))
    try:
        return extractor.run()
    finally:
        extractor.tree.close()


def extract_plain(chunks: Iterator[bytes], root: int, what: str) -> Extracted:
    """Extract a tar that is no layer: as ``extract``, but a name that begins with ``.wh.`` is a name like others."""
    os.fchown(root, 0, 0)
    os.fchmod(root, 0o700)
    extractor = _PlainExtractor(root, TarReader(ChunkReader(chunks, what)))
    try:
        return extractor.run()
    finally:
        extractor.tree.close()


class _Extractor:
    def __init__(self, root: int, reader: TarReader) -> None:
        self.tree = Tree(root)
        self._reader = reader
        self._size = 0
        self._entries = 0

    def run(self) -> Extracted:
        self.tree.metadata[b""] = FolderMetadata(0o755, 0, 0, 0, ())
        for entry in self._reader.entries():
            self._entries += 1
            try:
                self._place(entry)
            except OSError as error:
                raise _failed(entry.name, error) from error
        for path, metadata in self.tree.metadata.items():
            try:
                self._finish_folder(path, metadata)
            except OSError as error:
                raise _failed(path, error) from error
        return Extracted(self._size, self._entries)

    def _place(self, entry: TarEntry) -> None:
        parts = split_name(entry.name)
        if not parts:
            if entry.kind is not Kind.FOLDER:
                raise _refused(entry.name, f"the root cannot be a {entry.kind.value}")
            self.tree.metadata[b""] = _folder_metadata(entry)
            return
        name = parts[-1]
        folder = b"/".join(parts[:-1])
        if self._is_whiteout(entry, parts):
            self._whiteout(entry, parts)
            return
        path = folder + b"/" + name if folder else name
        parent = self.tree.folder(folder)
        match entry.kind:
            case Kind.FILE:
                self._file(parent, path, name, entry)
            case Kind.FOLDER:
                self.tree.make(parent, path, name)
                self.tree.metadata[path] = _folder_metadata(entry)
            case Kind.SYMLINK:
                self._symlink(parent, path, name, entry)
            case Kind.HARD_LINK:
                self._hard_link(folder, path, name, entry)
            case _:
                self._node(parent, path, name, entry)

    def _is_whiteout(self, entry: TarEntry, parts: list[bytes]) -> bool:
        return b"/.wh." in entry.name or parts[-1].startswith(_WHITEOUT) or parts[0].startswith(_WHITEOUT)

    def _whiteout(self, entry: TarEntry, parts: list[bytes]) -> None:
        if any(part.startswith(_WHITEOUT_META) and part != _OPAQUE for part in parts):
            # What aufs kept for itself: never content.
            return
        name = parts.pop()
        if any(part.startswith(_WHITEOUT) for part in parts):
            raise _refused(entry.name, "a whiteout holds no files")
        folder = self.tree.folder(b"/".join(parts))
        if name == _OPAQUE:
            set_opaque(folder)
            return
        target = name[len(_WHITEOUT) :]
        if target in (b"", b".", b".."):
            raise _refused(entry.name, "a whiteout of nothing")
        try:
            os.mknod(target, stat.S_IFCHR, 0, dir_fd=folder)
        except FileExistsError:
            # It hides the lower one already. A folder does so only if it is opaque, as the whiteout is older
            # than the folder, in whichever order the archive has them.
            status = os.stat(target, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                set_opaque(self.tree.folder(b"/".join((*parts, target))))

    def _file(self, parent: int, path: bytes, name: bytes, entry: TarEntry) -> None:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            self.tree.clear(parent, path, name)
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            self._fill(fd, entry)
            # Order: chown clears set-id bits and capabilities; the time is last.
            if entry.uid or entry.gid:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)
            if entry.xattrs:
                _set_xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self._size += entry.size

    def _fill(self, fd: int, entry: TarEntry) -> None:
        if entry.parts is None and entry.size <= _SMALL_BYTES:
            _write(fd, memoryview(self._reader.whole()))
            return
        if entry.parts is None:
            has_hole = self._copy(fd, None)
        else:
            has_hole = True
            for offset, size in entry.parts:
                os.lseek(fd, offset, os.SEEK_SET)
                self._copy(fd, size)
        if has_hole:
            os.ftruncate(fd, entry.size)

    def _copy(self, fd: int, most: int | None) -> bool:
        has_hole = False
        for piece in self._reader.content(most):
            # Runs of zeros become holes: a bomb of zeros takes no room.
            if piece[0] == 0 and bytes(piece) == _ZEROS[: len(piece)]:
                os.lseek(fd, len(piece), os.SEEK_CUR)
                has_hole = True
                continue
            _write(fd, piece)
        return has_hole

    def _symlink(self, parent: int, path: bytes, name: bytes, entry: TarEntry) -> None:
        if b"\0" in entry.link or not entry.link:
            raise _refused(entry.name, "a symbolic link to nowhere")
        try:
            os.symlink(entry.link, name, dir_fd=parent)
        except FileExistsError:
            self.tree.clear(parent, path, name)
            os.symlink(entry.link, name, dir_fd=parent)
        self._finish_name(parent, name, entry)

    def _hard_link(self, folder: bytes, path: bytes, name: bytes, entry: TarEntry) -> None:
        target = split_name(entry.link)
        if not target or b"/".join(target) == path:
            raise _refused(entry.name, "a hard link to itself or to the root")
        # The second walk may close what the first one found.
        source = os.dup(self.tree.folder(b"/".join(target[:-1])))
        try:
            parent = self.tree.folder(folder)
            try:
                _link(source, target[-1], parent, name)
            except FileExistsError:
                self.tree.clear(parent, path, name)
                _link(source, target[-1], parent, name)
        except FileNotFoundError:
            raise _refused(entry.name, f"a hard link to {entry.link!r}, which is not in the layer") from None
        finally:
            os.close(source)

    def _node(self, parent: int, path: bytes, name: bytes, entry: TarEntry) -> None:
        mode = _NODES[entry.kind] | 0o600
        major, minor = entry.device
        if not (0 <= major < _MAX_MAJOR and 0 <= minor < _MAX_MINOR):
            raise _refused(entry.name, "a device number that cannot be")
        device = os.makedev(major, minor) if entry.kind is not Kind.FIFO else 0
        try:
            os.mknod(name, mode, device, dir_fd=parent)
        except FileExistsError:
            self.tree.clear(parent, path, name)
            os.mknod(name, mode, device, dir_fd=parent)
        self._finish_name(parent, name, entry)

    def _finish_name(self, parent: int, name: bytes, entry: TarEntry) -> None:
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _finish_folder(self, path: bytes, metadata: FolderMetadata) -> None:
        fd = self.tree.folder(path)
        os.fchown(fd, metadata.uid, metadata.gid)
        os.fchmod(fd, metadata.mode)
        for key, value in metadata.xattrs:
            _set_xattr(fd, key, value)
        os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))


class _PlainExtractor(_Extractor):
    def _is_whiteout(self, entry: TarEntry, parts: list[bytes]) -> bool:
        del entry, parts
        return False


def split_name(name: bytes) -> list[bytes]:
    """Return the parts of a path in a tar; none for the root. Raises ImageError for one that leaves it."""
    if name.startswith(b"/") and name.strip(b"/"):
        raise _refused(name, "an absolute name")
    if b"\0" in name:
        raise _refused(name, "a name with a NUL")
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in parts:
        raise _refused(name, "a name with '..'")
    if len(parts) > MAX_DEPTH:
        raise _refused(name, f"more than {MAX_DEPTH} folders deep")
    return parts


def _folder_metadata(entry: TarEntry) -> FolderMetadata:
    return FolderMetadata(entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs)


def _link(source: int, target: bytes, parent: int, name: bytes) -> None:
    # Following would link what a symbolic link names, resolved from the host's root.
    os.link(target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)


def _set_xattrs(fd: int, entry: TarEntry) -> None:
    for key, value in entry.xattrs:
        _set_xattr(fd, key, value)


def _set_xattr(fd: int, key: str, value: bytes) -> None:
    # Threat: trusted.overlay.redirect and its kin would let an image steer overlayfs; labels of another
    # machine's security module mean nothing on this one. So these are left out, as is all that is unknown.
    if not key.startswith(_XATTRS):
        return
    try:
        os.setxattr(fd, key, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP or key == "security.capability":
            raise


def _write(fd: int, data: memoryview | bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _refused(name: bytes, why: str) -> ImageError:
    return ImageError(f"refused an entry of the layer: {_text(name)}: {why}", code="archive-refused")


def _failed(name: bytes, error: OSError) -> ImageError:
    hint = "make room where the engine keeps its state" if error.errno in _FULL else ""
    return ImageError(f"cannot extract {_text(name)}: {error.strerror}", code="layer-extract", hint=hint)


def _text(name: bytes) -> str:
    text = name[:200].decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text) or "the root"
