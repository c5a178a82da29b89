"""What processes cost: memory, CPU time, wake-ups."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Activity(NamedTuple):
    """What processes did so far: seconds of CPU, and how often a thread of theirs went to sleep."""

    cpu_s: float
    sleeps: int


def pss_mib(pids: Iterable[int]) -> float:
    """Return the memory of processes, shared pages counted in proportion."""
    total_kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


def activity(pids: Iterable[int]) -> Activity:
    """Return what processes did since they were born."""
    ticks = sleeps = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for line in (thread / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    sleeps += int(line.split()[1])
    return Activity(ticks / _TICKS, sleeps)
