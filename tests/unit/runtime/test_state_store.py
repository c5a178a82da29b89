"""The supervisor's index, and one that an earlier version wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from stackctl.runtime.state import Facts, StateStore

_VERSION_1 = """\
CREATE TABLE container (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, phase TEXT NOT NULL, boot TEXT NOT NULL, facts TEXT NOT NULL
) STRICT;
INSERT INTO container VALUES ('1f', 'shop-web-1', 'exited', 'boot', '{"exit_code": 3}');
PRAGMA user_version=1;
"""


def test_an_index_of_version_1_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_VERSION_1)

    store = StateStore(str(path), "boot")
    store.save_spec("1f", b"{}")

    assert [(row.name, row.facts.exit_code) for row in store.rows()] == [("shop-web-1", 3)]
    assert store.specs() == {"1f": b"{}"}
    store.close()


def test_with_a_container_the_copy_of_its_specification_goes(tmp_path: Path) -> None:
    store = StateStore(str(tmp_path / "supervisor.db"), "boot")
    store.save("1f", "shop-web-1", "created", Facts())
    store.save_spec("1f", b"{}")

    store.delete("1f")

    assert (store.rows(), store.specs()) == ([], {})
    store.close()
