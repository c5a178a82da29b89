"""The harness works; what it measures is nobody's business here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TOP = Path(__file__).parents[3]


def test_a_measure_of_ours_ends_in_a_table_and_leaves_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "benchmarks", "life-1", "--runs", "1", "--no-peer", "--work", str(tmp_path)]
    done = subprocess.run(argv, cwd=_TOP, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert rows[2:] == ["up of 1", "up again of 1", "ps of 1", "down of 1"]
    assert not list(tmp_path.iterdir())


def test_an_unknown_measure_is_refused() -> None:
    argv = [sys.executable, "-m", "benchmarks", "life-0"]
    done = subprocess.run(argv, cwd=_TOP, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "no such measure: life-0" in done.stderr
