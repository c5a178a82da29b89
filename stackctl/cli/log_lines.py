"""Log output: from pieces of bytes to whole lines with prefixes, one line at a time whoever writes."""

from __future__ import annotations

import threading
from typing import Final

from stackctl.cli.output import WriteBytes
from stackctl.cli.render.log_prefix import Prefixes

# A line is kept until its end is there, so that those of others do not get into it. What is longer than this is
# passed on as it comes, for a line without end must not fill the memory.
LONGEST_BYTES: Final = 32 << 20


class Lines:
    """Cuts pieces into lines. One for each stream of each container."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # joined at the end of the line: a sum of each would take the square of the time
        self._rest_bytes = 0
        self._is_begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without their ends."""
        first, *more = data.split(b"\n")
        self._keep(first)
        if not more:
            return []
        lines = [b"".join(self._rest), *more[:-1]]
        self._rest, self._rest_bytes, self._is_begun = [], 0, False
        self._keep(more[-1])
        return [line.removesuffix(b"\r") for line in lines]

    def overlong(self) -> bytes:
        """Return the beginning of a line that is too long to be kept, and forget it; "" while it is not."""
        if self._rest_bytes <= LONGEST_BYTES:
            return b""
        part = b"".join(self._rest)
        self._rest, self._rest_bytes, self._is_begun = [], 0, True
        return part

    def finish(self) -> list[bytes]:
        """Return what is left, a last line without an end."""
        rest, is_left = b"".join(self._rest), self._is_begun or self._rest_bytes > 0
        self._rest, self._rest_bytes, self._is_begun = [], 0, False
        return [rest] if is_left else []

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._rest.append(piece)
            self._rest_bytes += len(piece)


class LogPrinter:
    """Writes lines of many containers; any thread may call."""

    def __init__(self, write: WriteBytes, prefixes: Prefixes) -> None:
        self._write = write
        self._prefixes = prefixes
        self._lock = threading.Lock()
        self._begun: Lines | None = None  # whose line stands there without its end

    def add(self, service: str, name: str) -> None:
        """Make room for a replica's prefix."""
        with self._lock:
            self._prefixes.add(service, name)

    def feed(self, service: str, name: str, source: Lines, data: bytes) -> None:
        """Write the lines that ``data`` completes in ``source``. Raises BrokenPipeError.

        Of an overlong line the beginning is written as well. It ends before its time when somebody else has
        something to write meanwhile.
        """
        self._lines(service, name, source, source.feed(data))
        if part := source.overlong():
            with self._lock:
                self._write(self._beginning(service, name, source) + part)
                self._begun = source

    def finish(self, service: str, name: str, source: Lines) -> None:
        """Write what is left in ``source``. Raises BrokenPipeError."""
        self._lines(service, name, source, source.finish())

    def say(self, text: str) -> None:
        """Write a line of our own."""
        with self._lock:
            self._write(self._end_of_others(None) + text.encode("utf-8", "replace") + b"\n")
            self._begun = None

    def _lines(self, service: str, name: str, source: Lines, lines: list[bytes]) -> None:
        if not lines:
            return
        with self._lock:
            prefix = self._prefix(service, name)
            first = self._beginning(service, name, source) + lines[0]
            self._write(b"".join([first, b"\n", *(b"%s%s\n" % (prefix, line) for line in lines[1:])]))
            self._begun = None

    def _beginning(self, service: str, name: str, source: Lines) -> bytes:
        """Return what stands before the next that ``source`` writes."""
        return b"" if self._begun is source else self._end_of_others(source) + self._prefix(service, name)

    def _end_of_others(self, source: Lines | None) -> bytes:
        return b"\n" if self._begun is not None and self._begun is not source else b""

    def _prefix(self, service: str, name: str) -> bytes:
        return self._prefixes.of(service, name).encode("utf-8", "surrogateescape")
