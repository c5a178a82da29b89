"""The exit journal: found whatever holes it has, and no larger than what no row has taken over yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackctl.runtime.journal import Exit, Journal

_TIME_NS = 1_700_000_000_000_000_000


def _exit(pid: int) -> Exit:
    return Exit(pid, pid * 2, 256, _TIME_NS + pid)


def _append(path: Path, *pids: int) -> None:
    with path.open("ab") as file:
        file.write(b"".join(b"%d %d %d %d\n" % _exit(pid) for pid in pids))


Expecting = Callable[..., Journal]


@pytest.fixture
def expecting() -> Iterator[Expecting]:
    """Open a journal that expects the exits of some processes."""
    with ExitStack() as opened:

        def act(path: Path, *pids: int) -> Journal:
            journal = Journal(str(path))
            opened.callback(journal.close)
            for pid in pids:
                journal.expect(f"c{pid}", pid, pid * 2)
            return journal

        yield act


def _kept_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_an_expected_exit_is_found_once_its_line_is_whole(expecting: Expecting, tmp_path: Path) -> None:
    path = tmp_path / "exits"
    journal = expecting(path, 7)
    line = b"%d %d %d %d\n" % _exit(7)
    path.write_bytes(line[:5])
    assert journal.find("c7") is None

    with path.open("ab") as file:
        file.write(line[5:])

    assert journal.find("c7") == _exit(7)


def test_the_exit_of_an_earlier_process_with_the_same_id_is_not_taken(expecting: Expecting, tmp_path: Path) -> None:
    path = tmp_path / "exits"
    journal = expecting(path)
    journal.expect("c", 7, 99)
    _append(path, 7)

    assert journal.find("c") is None


@pytest.mark.parametrize("needed", [1, 15_000, 20_000])
def test_what_nobody_expects_is_punched_out_and_what_is_expected_is_found_by_every_later_reader(
    expecting: Expecting, tmp_path: Path, needed: int
) -> None:
    path = tmp_path / "exits"
    _append(path, *range(1, 20_001))
    before, length = _kept_bytes(path), path.stat().st_size
    journal = expecting(path, needed)

    journal.punch()

    assert path.stat().st_size == length
    share = 1 - needed / 20_000
    assert _kept_bytes(path) <= before * share + 2 * 4096
    _append(path, 20_001)
    for reader in (journal, expecting(path, needed, 20_001)):
        assert reader.find(f"c{needed}") == _exit(needed)
        reader.expect("c20001", 20_001, 40_002)
    assert expecting(path, 20_001).find("c20001") == _exit(20_001)


def test_an_exit_that_was_forgotten_holds_nothing_back(expecting: Expecting, tmp_path: Path) -> None:
    path = tmp_path / "exits"
    _append(path, *range(1, 20_001))
    journal = expecting(path, 1, 2)
    assert journal.find("c1") and journal.find("c2")
    journal.punch()
    held = _kept_bytes(path)

    journal.forget("c1")
    journal.forget("c2")
    journal.punch()

    assert _kept_bytes(path) <= 2 * 4096 < held


@pytest.mark.parametrize("needed", range(4_990, 5_000))
def test_a_line_that_a_hole_cuts_is_never_taken_for_another(expecting: Expecting, tmp_path: Path, needed: int) -> None:
    path = tmp_path / "exits"
    _append(path, *range(1, 5_001))
    expecting(path, needed).punch()

    reader = expecting(path, *range(1, needed + 1))
    found = {pid: reader.find(f"c{pid}") for pid in range(1, needed + 1)}

    assert _kept_bytes(path) <= 2 * 4096
    assert found[needed] == _exit(needed)
    assert all(exit is None or exit == _exit(pid) for pid, exit in found.items())


def test_a_journal_that_begins_with_a_short_line_keeps_what_begins_at_a_block(
    expecting: Expecting, tmp_path: Path
) -> None:
    path = tmp_path / "exits"
    lines = b"".join(b"%d %d %d %d\n" % _exit(pid) for pid in range(1, 5_001))
    # The line of the expected process begins right at the start of a block.
    place = (len(lines) // 4096 + 1) * 4096
    path.write_bytes(lines.ljust(place - 1, b"\n") + b"\n")
    _append(path, 6_000)

    expecting(path, 6_000).punch()

    assert _kept_bytes(path) <= 2 * 4096
    assert expecting(path, 6_000).find("c6000") == _exit(6_000)
