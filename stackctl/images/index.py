"""The index of images in SQLite: which image has which layers, and which names lead to it.

Blobs and layers are files; a row is written once they are all there, and removed before they are.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from stackctl.errors import ImageError

SCHEMA_VERSION: Final = 2
_BUSY_MS: Final = 60_000

_SCHEMA: Final = """
CREATE TABLE image (
  id TEXT PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  added_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE image_layer (
  image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  diff_id TEXT NOT NULL,
  blob TEXT NOT NULL,
  PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX layer_user ON image_layer(diff_id);
CREATE TABLE tag (
  reference TEXT PRIMARY KEY,
  image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
  tagged_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX image_tag ON tag(image_id);
"""
_SCHEMA_2: Final = """
CREATE TABLE build_step (
  key TEXT PRIMARY KEY,
  diff_id TEXT NOT NULL,
  blob TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  created_ns INTEGER NOT NULL,
  used_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE build_inputs (
  reference TEXT PRIMARY KEY,
  image_id TEXT NOT NULL,
  inputs TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""


class LayerRow(NamedTuple):
    """One layer of an image: its diff_id and the digest of the blob it came in."""

    diff_id: str
    blob: str


class ImageRow(NamedTuple):
    """One image; ``references`` in full form, tags and digests alike."""

    id: str
    size_bytes: int
    added_ns: int
    references: tuple[str, ...]
    tagged_ns: int


class StepRow(NamedTuple):
    """One step of a build that was done: the layer it made and its blob ("" when it changed nothing), and when."""

    key: str
    diff_id: str
    blob: str
    size_bytes: int
    created_ns: int


class NewImage(NamedTuple):
    """What ``Index.add`` writes of one image, its layers lowest first."""

    id: str
    size_bytes: int
    layers: tuple[LayerRow, ...]
    references: tuple[str, ...]


class Index:
    """Any thread may call any method; other processes may use the same file. Raises sqlite3.Error.

    ``changed`` is called after every change of ours; it must not raise. A copy of the names is kept beside the
    database: nothing else could tell them should it be damaged.
    """

    def __init__(self, path: str, changed: Callable[[], object] = lambda: None) -> None:
        self._lock = threading.RLock()
        self._changed: Callable[[], object] = lambda: None
        self._names = f"{os.path.dirname(path)}/names.json"
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        self._db.execute("PRAGMA journal_mode=WAL")
        # FULL: what was said to be loaded, or removed, is so after a power cut too.
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        with self._writing() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise ImageError(f"{path} was written by a newer stackctl", code="image-store-newer")
            if version < SCHEMA_VERSION:
                statements = ([] if version else _SCHEMA.split(";")) + _SCHEMA_2.split(";")
                for statement in statements:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._changed = changed

    def check(self) -> None:
        """Raise sqlite3.DatabaseError unless all of the database can be read."""
        found = self._all("PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise sqlite3.DatabaseError(str(found[0][0]))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def add(self, images: Sequence[NewImage], *, now_ns: int) -> None:
        """Add images, or references to those that are there, all or none."""
        with self._writing() as db:
            for image in images:
                db.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", (image.id, image.size_bytes, now_ns))
                rows = [(image.id, at, *layer) for at, layer in enumerate(image.layers)]
                db.executemany("INSERT OR IGNORE INTO image_layer VALUES (?, ?, ?, ?)", rows)
                for reference in image.references:
                    _tag(db, reference, image.id, now_ns)

    def tag(self, reference: str, image_id: str, *, now_ns: int) -> None:
        """Let ``reference`` lead to an image, whatever it led to before. The image must be there."""
        with self._writing() as db:
            _tag(db, reference, image_id, now_ns)

    def untag(self, reference: str) -> None:
        """Remove a reference; harmless when there is none."""
        with self._writing() as db:
            db.execute("DELETE FROM tag WHERE reference = ?", (reference,))

    def remove(self, image_id: str) -> None:
        """Remove an image and all that leads to it; harmless when there is none."""
        with self._writing() as db:
            db.execute("DELETE FROM image WHERE id = ?", (image_id,))

    def id_of(self, reference: str) -> str:
        """Return the image a full reference leads to, "" when none."""
        rows = self._all("SELECT image_id FROM tag WHERE reference = ?", reference)
        return str(rows[0][0]) if rows else ""

    def ids_beginning(self, prefix: str) -> tuple[str, ...]:
        """Return at most two image ids that begin with ``prefix`` (lower-case hex after ``sha256:``)."""
        rows = self._all("SELECT id FROM image WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", prefix, prefix + "g")
        return tuple(row[0] for row in rows)

    def image(self, image_id: str) -> ImageRow | None:
        """Return one image."""
        rows = self._all("SELECT id, size_bytes, added_ns FROM image WHERE id = ?", image_id)
        if not rows:
            return None
        tags = self._all("SELECT reference, tagged_ns FROM tag WHERE image_id = ? ORDER BY reference", image_id)
        return _image_row(rows[0], tags)

    def images(self) -> tuple[ImageRow, ...]:
        """Return every image, the one added last first."""
        tags: dict[str, list[tuple[str, int]]] = {}
        for reference, image_id, tagged_ns in self._all(
            "SELECT reference, image_id, tagged_ns FROM tag ORDER BY reference"
        ):
            tags.setdefault(image_id, []).append((reference, tagged_ns))
        rows = self._all("SELECT id, size_bytes, added_ns FROM image ORDER BY added_ns DESC, id")
        return tuple(_image_row(row, tags.get(row[0], [])) for row in rows)

    def layers(self, image_id: str) -> tuple[LayerRow, ...]:
        """Return an image's layers, the lowest first."""
        rows = self._all("SELECT diff_id, blob FROM image_layer WHERE image_id = ? ORDER BY position", image_id)
        return tuple(LayerRow(*row) for row in rows)

    def used(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the diff_ids and the blob digests, configurations among them, that images and builds use."""
        with self._lock:
            diff_ids = frozenset(
                row[0] for row in self._all("SELECT diff_id FROM image_layer UNION SELECT diff_id FROM build_step")
            )
            blobs = self._all(
                "SELECT blob FROM image_layer UNION SELECT id FROM image UNION SELECT blob FROM build_step"
            )
        return diff_ids, frozenset(row[0] for row in blobs)

    # -- builds ---------------------------------------------------------------------------------------

    def step(self, key: str) -> StepRow | None:
        """Return a step that was done before."""
        rows = self._all("SELECT key, diff_id, blob, size_bytes, created_ns FROM build_step WHERE key = ?", key)
        return StepRow(*rows[0]) if rows else None

    def keep_step(self, row: StepRow, *, now_ns: int) -> None:
        """Add a step, or note that it was used again."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO build_step VALUES (?, ?, ?, ?, ?, ?)", (*row, now_ns))

    def steps(self) -> list[tuple[str, int, int]]:
        """Return key, bytes and last use of every step, the one used last first."""
        rows = self._all("SELECT key, size_bytes, used_ns FROM build_step ORDER BY used_ns DESC")
        return [(str(key), int(size_bytes), int(used_ns)) for key, size_bytes, used_ns in rows]

    def forget_steps(self, *, above_bytes: int) -> int:
        """Forget the steps used least lately, until the layers of those left are ``above_bytes`` together at most.

        Return the bytes of what was forgotten.
        """
        rows = self._all("SELECT key, size_bytes FROM build_step ORDER BY used_ns DESC")
        total = forgotten = 0
        gone = []
        for key, size_bytes in rows:
            total += size_bytes
            if total > above_bytes or above_bytes == 0:
                gone.append((key,))
                forgotten += size_bytes
        if gone:
            with self._transaction() as db:
                db.executemany("DELETE FROM build_step WHERE key = ?", gone)
        return forgotten

    def inputs(self, reference: str) -> tuple[str, str]:
        """Return the id of the image last built under a name, and what it was built from; "" if never."""
        rows = self._all("SELECT image_id, inputs FROM build_inputs WHERE reference = ?", reference)
        return (str(rows[0][0]), str(rows[0][1])) if rows else ("", "")

    def keep_inputs(self, reference: str, image_id: str, inputs: str) -> None:
        """Note what the image under a name was built from."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO build_inputs VALUES (?, ?, ?)", (reference, image_id, inputs))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._transaction() as db:
            yield db
            self._copy_names(db)
        self._changed()

    def _copy_names(self, db: sqlite3.Connection) -> None:
        names = dict(db.execute("SELECT reference, image_id FROM tag ORDER BY reference"))
        with suppress(OSError):  # it is a copy
            with open(f"{self._names}.new", "w", encoding="utf-8") as file:
                json.dump(names, file)
            os.rename(f"{self._names}.new", self._names)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _tag(db: sqlite3.Connection, reference: str, image_id: str, now_ns: int) -> None:
    db.execute("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", (reference, image_id, now_ns))


def _image_row(row: tuple[Any, ...], tags: Sequence[tuple[Any, ...]]) -> ImageRow:
    references = tuple(reference for reference, _ in tags)
    image_id, size_bytes, added_ns = row
    tagged_ns = max((moment for _, moment in tags), default=0)
    return ImageRow(image_id, size_bytes, added_ns, references, tagged_ns)
