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
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

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
    run to its end yet. ``is_standby``: it is to have no traffic; ``stands_for`` is the name of
    the container that it replaces, to which it answers too once it has its traffic.
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
    is_standby: bool = False
    stands_for: str = ""
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


_NO_FACTS: Final = Facts()


class Row:
    """One row: identity, name, phase, the boot it was written in, and the facts."""

    __slots__ = ("boot", "facts", "id", "name", "phase")

    def __init__(self, container_id: str, name: str, phase: Phase, boot: str, facts: Facts) -> None:
        self.id, self.name, self.phase, self.boot, self.facts = container_id, name, phase, boot, facts


class StateStore:
    """Rows by container id. A database that turns out to be damaged is begun anew with what of it can be read."""

    def __init__(self, path: str, boot: str) -> None:
        self._path, self._boot = path, boot
        try:
            self._db = _open(path)
            self._db.execute("SELECT total(length(facts)) FROM container").fetchone()
            self._db.execute("SELECT total(length(text)) FROM specification").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)

    def save(self, container_id: str, name: str, phase: Phase, facts: Facts) -> None:
        """Insert or replace a row. Raises EngineError when it cannot be written, as on a full disk."""
        statement = "INSERT OR REPLACE INTO container VALUES (?, ?, ?, ?, ?)"
        try:
            self._execute(statement, (container_id, name, phase, self._boot, facts_text(facts)))
        except sqlite3.OperationalError as error:
            raise EngineError(
                f"the engine cannot write its records: {error}",
                code="records",
                hint="is the file system of the state root full?",
            ) from error

    def save_spec(self, container_id: str, text: bytes) -> None:
        """Keep a copy of a specification. What cannot be written is left out: the file is what counts."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._execute("INSERT OR REPLACE INTO specification VALUES (?, ?)", (container_id, text))

    def specs(self) -> dict[str, bytes]:
        """Return the copies, by container."""
        return dict(self._execute("SELECT id, text FROM specification", ()))

    def delete(self, container_id: str) -> None:
        """Delete a row; harmless when there is none.

        One that cannot be deleted says that it was being removed: the next supervisor finds nothing behind it.
        """
        with contextlib.suppress(sqlite3.OperationalError):
            self._execute("DELETE FROM container WHERE id = ?", (container_id,))
            self._execute("DELETE FROM specification WHERE id = ?", (container_id,))

    def rows(self) -> list[Row]:
        """Return every readable row, in the order of creation; unreadable ones are left out."""
        found = []
        for row in self._execute("SELECT * FROM container ORDER BY rowid", ()):
            with contextlib.suppress(ValueError, TypeError):
                found.append(read_row(*row))
        return found

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            self._begin_anew(error)
            return self._db.execute(statement, values).fetchall()

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        """Put the damaged file out of the way. It is an index: what each container should be is in its own folder."""
        print(f"supervisor: {self._path}: {error}: begun anew", file=sys.stderr, flush=True)
        with contextlib.suppress(AttributeError):  # it could not be opened at all
            self._db.close()
        broken = f"{self._path}.broken"
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(broken + suffix)
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path + suffix, broken + suffix)
        self._db = _open(self._path)
        for table, columns in (("container", 5), ("specification", 2)):
            for row in _salvage(broken, table):
                with contextlib.suppress(sqlite3.Error):  # a row that makes no sense
                    self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})", row)


def facts_text(facts: Facts) -> str:
    """Return facts as JSON. Pure."""
    return json.dumps({key: getattr(facts, key) for key in Facts.__slots__}, separators=(",", ":"))


def read_row(container_id: str, name: str, phase: str, boot: str, text: str) -> Row:
    """Return a row from its columns. Pure. Raises ValueError, TypeError for what nobody has written so."""
    facts = Facts(**json.loads(text))
    for key in Facts.__slots__:
        kind = type(getattr(_NO_FACTS, key))
        if not isinstance(getattr(facts, key), int | None if key == "exit_code" else kind):
            raise ValueError(f"{key} of {container_id} is no {kind.__name__}")
    if phase not in get_args(Phase) or not isinstance(name, str) or not isinstance(boot, str):
        raise ValueError(f"the row of {container_id} makes no sense")
    return Row(container_id, name, cast("Phase", phase), boot, facts)


def _salvage(path: str, table: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as broken:
        yield from broken.execute(f"SELECT * FROM {table} NOT INDEXED")


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
