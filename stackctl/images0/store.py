"""The image store: blobs and configurations by digest, layers extracted once, tags in SQLite.

    ROOT/images/blobs/sha256/HEX     configurations, byte for byte
    ROOT/images/layers/HEX16/fs      a layer, by the start of its diff_id; complete once it has this name
    ROOT/images/tmp/                 what is being made; locked by who makes it
    ROOT/images/index.db             tags and images

The layer's folder is made under a temporary name, synced, and renamed: a name in ``layers`` is a whole layer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stackctl.errors import Conflict, ImageError
from stackctl.images0.config import read_config
from stackctl.images0.extract import Extractor
from stackctl.images0.host import HostImage
from stackctl.images0.tar import Readable
from stackctl.model.image import HOST_IMAGE, ResolvedImage, parse_image_ref
from stackctl.model.root import OverlayRoot, Root

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS image (id TEXT PRIMARY KEY, created_ns INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tag (
  name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE) STRICT;
"""
_SHORT: Final = 16
_LEAST_PREFIX: Final = 4


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image that came in; ``name`` is its familiar name, "" when it has none."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of the store, for listing; ``tags`` are familiar names, ``config`` the parsed configuration."""

    id: str
    tags: tuple[str, ...]
    created_ns: int
    size: int
    config: dict[str, Any]


class ImageStore:
    """The images of one engine. Any thread, and more than one process, may use it at once."""

    def __init__(self, root: str) -> None:
        self._folder = f"{root}/images"
        for name in ("blobs/sha256", "layers", "tmp"):
            os.makedirs(f"{self._folder}/{name}", 0o711, exist_ok=True)
        self._local = threading.local()
        self._host = HostImage(self._folder)
        with self._database() as database:
            database.executescript(_SCHEMA)
        self._remove_stale()

    # -- finding --------------------------------------------------------------------------------------

    def resolve(self, reference: str, platform: str = "") -> ResolvedImage | None:
        """Find an image by name, id or unique beginning of an id; None when there is none (for this platform)."""
        if reference in (HOST_IMAGE, f"{HOST_IMAGE}:latest") or reference == self._host.resolve().id:
            return self._host.resolve()
        found = self._id_of(reference)
        if found is None:
            return None
        image = ResolvedImage(found, read_config(self._config(found)))
        wanted = platform.split("/")
        fits = not platform or [image.config.os, image.config.architecture][: len(wanted)] == wanted[:2]
        return image if fits else None

    def root_of(self, image_id: str) -> Root:
        """Return what a container of this image starts from. Raises ImageError."""
        if image_id == self._host.resolve().id:
            return self._host.root()
        layers = []
        for diff_id in self._diff_ids(self._config(image_id)):
            path = self._layer(diff_id)
            if not os.path.isdir(path):
                raise ImageError(f"layer {diff_id} of image {image_id} is missing", code="layer-missing")
            layers.append(path)
        return OverlayRoot(tuple(layers))

    def all(self) -> list[StoredImage]:
        """Return every image, the built-in one first, then the newest."""
        host = self._host.resolve()
        built_in = StoredImage(
            host.id,
            (f"{HOST_IMAGE}:latest",),
            0,
            0,
            {"architecture": host.config.architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"], "Env": list(host.config.env)}},
        )
        with self._database() as database:
            rows = database.execute("SELECT id, created_ns, size FROM image ORDER BY created_ns DESC, id").fetchall()
            tags = database.execute("SELECT name, image FROM tag ORDER BY name").fetchall()
        found = [built_in]
        for image_id, created_ns, size in rows:
            names = tuple(_familiar(name) for name, image in tags if image == image_id)
            found.append(StoredImage(image_id, names, created_ns, size, self._config(image_id)))
        return found

    def inspect(self, reference: str) -> StoredImage:
        """Return one image. Raises ImageError."""
        image = self.resolve(reference)
        for stored in self.all():
            if image is not None and stored.id == image.id:
                return stored
        raise ImageError(f"no such image: {reference}", code="image-not-found")

    # -- changing -------------------------------------------------------------------------------------

    def add(self, config: bytes, name: str) -> LoadedImage:
        """Take an image in whose layers are all there; ``name`` "" leaves it without. Raises ImageError.

        Nobody sees it before it is whole.
        """
        digest = hashlib.sha256(config).hexdigest()
        image_id = f"sha256:{digest}"
        diff_ids = self._diff_ids(_parse(config))
        missing = [diff_id for diff_id in diff_ids if not os.path.isdir(self._layer(diff_id))]
        if missing:
            raise ImageError(f"layer {missing[0]} did not come with the image", code="layer-missing")
        self._write_blob(digest, config)
        size = sum(self._layer_size(diff_id) for diff_id in diff_ids)
        with self._database() as database:
            database.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", (image_id, time.time_ns(), size))
            if name:
                database.execute("INSERT OR REPLACE INTO tag VALUES (?, ?)", (_full(name), image_id))
        return LoadedImage(_familiar(_full(name)) if name else "", image_id)

    def add_layer(self, stream: Readable, diff_id: str) -> str:
        """Extract a layer unless it is there, and return its diff_id. Raises ImageError.

        ``diff_id`` "" takes what the stream hashes to; otherwise the stream must hash to it, and a layer that
        does not is not kept. Two callers with one layer do the work once.
        """
        if not diff_id:
            return self._extract(stream, "")
        with self._locked(diff_id):
            if os.path.isdir(self._layer(diff_id)):
                return diff_id
            return self._extract(stream, diff_id)

    def remove(self, reference: str, *, force: bool, users: Callable[[str], list[str]]) -> list[dict[str, str]]:
        """Untag an image, and delete it with its last tag. ``users`` tells which containers use an image.

        Returns Docker's list of what was done. Raises ImageError, Conflict.
        """
        image = self.resolve(reference)
        if image is None:
            raise ImageError(f"no such image: {reference}", code="image-not-found")
        if image.id == self._host.resolve().id:
            raise ImageError("the image host is built in and cannot be removed", code="image-built-in")
        stored = self.inspect(image.id)
        is_tag = _is_name_of(reference, stored)
        going = [_familiar(_full(reference))] if is_tag else list(stored.tags)
        is_last = len(going) >= len(stored.tags)
        if is_last and not force and (using := users(image.id)):
            raise Conflict(
                f"unable to remove image {reference}: container {', '.join(using)} uses it",
                code="image-in-use",
                hint="remove the containers first, or add --force",
            )
        done = [{"Untagged": name} for name in going]
        with self._database() as database:
            database.executemany("DELETE FROM tag WHERE name = ?", [(_full(name),) for name in going])
            if is_last and not users(image.id):
                database.execute("DELETE FROM image WHERE id = ?", (image.id,))
        if is_last and not users(image.id):
            self._collect(image.id)
            done.append({"Deleted": image.id})
        return done

    def spool(self) -> Any:
        """Return a new temporary file, open for reading and writing, that goes when it is closed."""
        import tempfile  # 6 ms: only where an archive comes in

        return tempfile.TemporaryFile(dir=f"{self._folder}/tmp")

    # -- inside ---------------------------------------------------------------------------------------

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = sqlite3.connect(f"{self._folder}/index.db", timeout=30)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA foreign_keys=ON")
            self._local.database = database
        with database:
            yield database

    def _id_of(self, reference: str) -> str | None:
        with self._database() as database:
            ids = [row[0] for row in database.execute("SELECT id FROM image")]
            with contextlib.suppress(ValueError):
                name = _full(reference)
                row = database.execute("SELECT image FROM tag WHERE name = ?", (name,)).fetchone()
                if row is not None:
                    return str(row[0])
        wanted = reference.removeprefix("sha256:")
        is_hex = len(wanted) >= _LEAST_PREFIX and all(letter in "0123456789abcdef" for letter in wanted)
        found = [image for image in ids if is_hex and image.removeprefix("sha256:").startswith(wanted)]
        return found[0] if len(found) == 1 else None

    def _config(self, image_id: str) -> dict[str, Any]:
        try:
            with open(f"{self._folder}/blobs/sha256/{image_id.removeprefix('sha256:')}", "rb") as file:
                return _parse(file.read())
        except FileNotFoundError as error:
            raise ImageError(f"no such image: {image_id}", code="image-not-found") from error

    def _diff_ids(self, config: dict[str, Any]) -> list[str]:
        rootfs = config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not diff_ids or not all(_is_digest(item) for item in diff_ids):
            raise ImageError("the image's configuration lists no layers", code="image-bad")
        return diff_ids

    def _layer(self, diff_id: str) -> str:
        return f"{self._folder}/layers/{diff_id.removeprefix('sha256:')[:_SHORT]}/fs"

    def _layer_size(self, diff_id: str) -> int:
        with contextlib.suppress(OSError, ValueError), open(f"{self._layer(diff_id)}/../size", encoding="ascii") as file:
            return int(file.read())
        return 0

    def _extract(self, stream: Readable, diff_id: str) -> str:
        temporary = f"{self._folder}/tmp/{os.urandom(8).hex()}"
        os.makedirs(f"{temporary}/fs", 0o755)
        lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            hashing = _Hashing(stream)
            Extractor(f"{temporary}/fs").extract(hashing)
            hashing.finish()
            actual = f"sha256:{hashing.digest.hexdigest()}"
            if diff_id and actual != diff_id:
                raise ImageError(f"a layer has digest {actual} where the image says {diff_id}", code="digest-mismatch")
            with open(f"{temporary}/size", "w", encoding="ascii") as file:
                file.write(str(hashing.size))
            _sync_file_system(lock)
            with contextlib.suppress(OSError):
                # Already there: somebody else extracted the same layer.
                os.rename(temporary, os.path.dirname(self._layer(actual)))
            return actual
        finally:
            os.close(lock)
            shutil.rmtree(temporary, ignore_errors=True)

    def _write_blob(self, digest: str, content: bytes) -> None:
        path = f"{self._folder}/blobs/sha256/{digest}"
        temporary = f"{self._folder}/tmp/{os.urandom(8).hex()}.blob"
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)

    @contextmanager
    def _locked(self, diff_id: str) -> Iterator[None]:
        path = f"{self._folder}/tmp/{diff_id.removeprefix('sha256:')[:_SHORT]}.lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _remove_stale(self) -> None:
        """Remove what somebody who died was making: nobody holds its lock any more."""
        for name in os.listdir(f"{self._folder}/tmp"):
            path = f"{self._folder}/tmp/{name}"
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)
                finally:
                    os.close(fd)

    def _collect(self, image_id: str) -> None:
        """Remove the configuration, and layers that no other image has."""
        going = set(self._diff_ids(self._config(image_id)))
        with self._database() as database:
            others = [row[0] for row in database.execute("SELECT id FROM image")]
        for other in others:
            going -= set(self._diff_ids(self._config(other)))
        os.unlink(f"{self._folder}/blobs/sha256/{image_id.removeprefix('sha256:')}")
        for diff_id in going:
            doomed = f"{self._folder}/tmp/{os.urandom(8).hex()}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(os.path.dirname(self._layer(diff_id)), doomed)
                shutil.rmtree(doomed, ignore_errors=True)


class _Hashing:
    """A stream that hashes and counts what is read through it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.digest.update(data)
        self.size += len(data)
        return data

    def finish(self) -> None:
        """Read on to the end: what follows a tar's last block is part of its digest."""
        while self.read(1 << 18):
            pass


def _parse(config: bytes) -> dict[str, Any]:
    try:
        shape = json.loads(config)
    except ValueError as error:
        raise ImageError("the image's configuration is no JSON", code="image-bad") from error
    if not isinstance(shape, dict):
        raise ImageError("the image's configuration is no object", code="image-bad")
    return shape


def _is_digest(value: object) -> bool:
    hexadecimal = value.removeprefix("sha256:") if isinstance(value, str) and value.startswith("sha256:") else ""
    return len(hexadecimal) == 64 and all(letter in "0123456789abcdef" for letter in hexadecimal)


def _full(name: str) -> str:
    return str(parse_image_ref(name))


def _familiar(name: str) -> str:
    return parse_image_ref(name).familiar


def _is_name_of(reference: str, stored: StoredImage) -> bool:
    try:
        return _familiar(_full(reference)) in stored.tags
    except ValueError:
        return False


def _sync_file_system(fd: int) -> None:
    # One syncfs: an fsync for each of 20 000 files takes ten seconds.
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syncfs(fd) < 0:
        raise OSError(ctypes.get_errno(), "syncfs failed")
