"""Reading the keeper's exit journal: lines of ``pid start_ticks wait_status unix_ns``."""

from __future__ import annotations

import os
from typing import NamedTuple


class Exit(NamedTuple):
    """How one process ended; ``status`` is a wait status."""

    pid: int
    start_ticks: int
    status: int
    time_ns: int


class Journal:
    """Exits in the order the keeper reaped them; remembers how far it was read."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._offset = 0
        self._exits: dict[tuple[int, int], Exit] = {}

    def find(self, pid: int, start_ticks: int) -> Exit | None:
        """Return how that process ended, None while the keeper has not reaped it."""
        self._read()
        return self._exits.get((pid, start_ticks))

    def forget(self, pid: int, start_ticks: int) -> None:
        """Drop an exit that was recorded elsewhere."""
        self._exits.pop((pid, start_ticks), None)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            data = os.pread(self._fd, 1 << 16, self._offset)
            complete = data.rpartition(b"\n")[0]
            if not complete:
                return
            # A hole, where a consumed part was punched out, reads as zeros up to the next line.
            for line in complete.split(b"\n"):
                parts = line.lstrip(b"\0").split()
                if len(parts) == 4:
                    found = Exit(*(int(part) for part in parts))
                    self._exits[found.pid, found.start_ticks] = found
            self._offset += len(complete) + 1
