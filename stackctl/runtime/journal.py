"""Reading the keeper's exit journal: lines of ``pid start_ticks wait_status unix_ns``.

The journal keeps what no row has taken over yet. Everything before that is punched out, so that the file, which lies in
memory, does not grow with the engine's age. Exits that nobody expects (the two roles', orphans') hold nothing back.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final, NamedTuple

from stackctl.runtime.kernel import libc

_PIECE_BYTES: Final = 1 << 18
_PUNCH_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 4096


class Exit(NamedTuple):
    """How one process ended; ``status`` is a wait status."""

    pid: int
    start_ticks: int
    status: int
    time_ns: int


Process = tuple[int, int]  # pid and start time in ticks: what names a process in the journal


class Journal:
    """Exits in the order the keeper reaped them; remembers how far it was read.

    ``expect`` every process whose exit may be asked for before the first ``find``: other exits are not remembered.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._offset = 0
        self._punched = 0
        self._expected: dict[str, Process] = {}
        self._wanted: set[Process] = set()
        self._found: dict[Process, tuple[Exit, int]] = {}  # with its place in the file, in the file's order

    def expect(self, container_id: str, pid: int, start_ticks: int) -> None:
        """Keep the exit of a container's first process, from now until it is forgotten."""
        process = pid, start_ticks
        if self._expected.get(container_id) != process:
            self.forget(container_id)
            self._expected[container_id] = process
            self._wanted.add(process)

    def forget(self, container_id: str) -> None:
        """Let the exit of a container's process go: it is recorded elsewhere."""
        process = self._expected.pop(container_id, None)
        if process is not None:
            self._wanted.discard(process)
            self._found.pop(process, None)

    def find(self, container_id: str) -> Exit | None:
        """Return how the expected process of a container ended; None while the keeper has not reaped it."""
        process = self._expected.get(container_id)
        if process is None:
            return None
        if process not in self._found:
            self._read()
        found = self._found.get(process)
        return None if found is None else found[0]

    def punch(self) -> None:
        """Give back the room of what comes before the first exit that is still expected, once there is enough of it."""
        if os.fstat(self._fd).st_size - self._punched < _PUNCH_BYTES:
            return
        self._read()
        place = next((place for _, place in self._found.values()), self._offset)
        # One byte of what is consumed stays before the first line that is needed, so that a reader may drop the first,
        # perhaps cut, line behind every hole.
        end = (place - 1) // _BLOCK_BYTES * _BLOCK_BYTES
        if end - self._punched < _PUNCH_BYTES:
            return
        # A file system without holes keeps it all: nothing is lost.
        with contextlib.suppress(OSError):
            libc.punch_hole(self._fd, self._punched, end - self._punched)
        self._punched = end

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            start = self._next_data()
            data = os.pread(self._fd, _PIECE_BYTES, start)
            complete = data.rpartition(b"\n")[0]
            if not complete:
                return
            self._take(complete, start, is_cut=start != self._offset)
            self._offset = start + len(complete) + 1

    def _next_data(self) -> int:
        try:
            return os.lseek(self._fd, self._offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return self._offset  # nothing more

    def _take(self, lines: bytes, place: int, *, is_cut: bool) -> None:
        for line in lines.split(b"\n"):
            parts = line.split()
            if len(parts) == 4 and not is_cut:
                found = Exit(*(int(part) for part in parts))
                process = found.pid, found.start_ticks
                if process in self._wanted:
                    self._found.setdefault(process, (found, place))
            is_cut = False
            place += len(line) + 1
