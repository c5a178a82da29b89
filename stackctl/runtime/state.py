"""The supervisor's index of containers in SQLite. Each container's ``spec.json`` is the truth about what
it should be, with a copy here; a row says what became of it. Rows are written before each irreversible step (intent)
and after it (fact).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from dataclasses import dataclass, field
from typing import Final, Literal

from stackctl.errors import EngineError

SCHEMA_VERSION: Final = 2
Phase = Literal["creating", "created", "starting", "running", "restarting", "exited", "removing"]

_SCHEMA: Final = """
CREATE TABLE container (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  phase TEXT NOT NULL,
  boot TEXT NOT NULL,
  facts TEXT NOT NULL
) STRICT;
"""
# Since version 2: a second copy of each ``spec.json``, for when the file cannot be read.
_SPECIFICATIONS: Final = "CREATE TABLE specification (id TEXT PRIMARY KEY, text BLOB NOT NULL) STRICT;"


@dataclass(slots=True)
class Facts:
    """What is known of one container besides its specification; times in nanoseconds since the epoch.

    ``pid`` and ``identity`` (see ``kernel.process``) name its first process, ``start_ticks`` its journal
    entry. ``addresses`` maps networks to IPv4 addresses, ``ports`` lists (host_ip, host_port,
    container_port, protocol), ``dns_port`` is where its name server listens in its namespace. ``is_wanted``: to
    be started again when the policy says so. ``back_off`` counts the restarts since the last good run;
    ``oom_kills_before`` is what the cgroup had counted at the start; ``is_to_return``: ran when
    the machine, or the engine, went down, and its policy brings it back. ``output`` maps streams to the inodes of the
    pipes that the first process got as its own. ``is_post_start_due``: it was started, and its ``post_start`` has not
    run to its end yet.
    """

    created_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    pid: int = 0
    identity: int = 0
    start_ticks: int = 0
    exit_code: int | None = None
    error: str = ""
    oom_killed: bool = False
    is_wanted: bool = False
    was_stopped: bool = False
    is_paused: bool = False
    is_to_return: bool = False
    is_post_start_due: bool = False
    restart_count: int = 0
    back_off: int = 0
    oom_kills_before: int = 0
    output: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    ports: list[tuple[str, int, int, str]] = field(default_factory=list)
    dns_port: int = 0
    health: str = "none"
    health_log: list[dict[str, object]] = field(default_factory=list)
    health_failures: int = 0


class Row:
    """One row: identity, name, phase, the boot it was written in, and the facts."""

    __slots__ = ("boot", "facts", "id", "name", "phase")

    def __init__(self, container_id: str, name: str, phase: Phase, boot: str, facts: Facts) -> None:
        self.id, self.name, self.phase, self.boot, self.facts = container_id, name, phase, boot, facts


class StateStore:
    """Rows by container id."""

    def __init__(self, path: str, boot: str) -> None:
        self._boot = boot
        try:
            self._db = _open(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            # No database any more. It is an index: what each container should be is in its own folder.
            print(f"supervisor: {path}: {error}: begun anew", file=sys.stderr, flush=True)
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path + suffix, f"{path}.broken{suffix}")
            self._db = _open(path)

    def save(self, container_id: str, name: str, phase: Phase, facts: Facts) -> None:
        """Insert or replace a row. Raises EngineError when it cannot be written, as on a full disk."""
        shape = {key: getattr(facts, key) for key in Facts.__slots__}
        try:
            self._db.execute(
                "INSERT OR REPLACE INTO container VALUES (?, ?, ?, ?, ?)",
                (container_id, name, phase, self._boot, json.dumps(shape, separators=(",", ":"))),
            )
        except sqlite3.OperationalError as error:
            raise EngineError(
                f"the engine cannot write its records: {error}",
                code="records",
                hint="is the file system of the state root full?",
            ) from error

    def save_spec(self, container_id: str, text: bytes) -> None:
        """Keep a copy of a specification. What cannot be written is left out: the file is what counts."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("INSERT OR REPLACE INTO specification VALUES (?, ?)", (container_id, text))

    def specs(self) -> dict[str, bytes]:
        """Return the copies, by container."""
        return dict(self._db.execute("SELECT id, text FROM specification"))

    def delete(self, container_id: str) -> None:
        """Delete a row; harmless when there is none.

        One that cannot be deleted says that it was being removed: the next supervisor finds nothing behind it.
        """
        with contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("DELETE FROM container WHERE id = ?", (container_id,))
            self._db.execute("DELETE FROM specification WHERE id = ?", (container_id,))

    def rows(self) -> list[Row]:
        """Return every readable row, in the order of creation; unreadable ones are left out."""
        found = []
        for container_id, name, phase, boot, text in self._db.execute("SELECT * FROM container ORDER BY rowid"):
            try:
                found.append(Row(container_id, name, phase, boot, Facts(**json.loads(text))))
            except (ValueError, TypeError):
                continue
        return found

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _open(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} {_SPECIFICATIONS} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version == 1:
        database.executescript(f"BEGIN; {_SPECIFICATIONS} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    return database
