"""Log output: from pieces of bytes to whole lines with prefixes, one line at a time whoever writes."""

from __future__ import annotations

import threading
from typing import Final

from stackctl.cli.output import WriteBytes
from stackctl.cli.render.log_prefix import Prefixes

_LONGEST_BYTES: Final = 1 << 16


class Lines:
    """Cuts pieces into lines. One for each stream of each container."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without their ends; a very long one comes in parts."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return [line.removesuffix(b"\r") for line in lines]

    def finish(self) -> list[bytes]:
        """Return what is left, a last line without an end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class LogPrinter:
    """Writes lines of many containers; any thread may call."""

    def __init__(self, write: WriteBytes, prefixes: Prefixes) -> None:
        self._write = write
        self._prefixes = prefixes
        self._lock = threading.Lock()

    def add(self, service: str, name: str) -> None:
        """Make room for a replica's prefix."""
        with self._lock:
            self._prefixes.add(service, name)

    def lines(self, service: str, name: str, lines: list[bytes]) -> None:
        """Write whole lines. Raises BrokenPipeError."""
        if not lines:
            return
        with self._lock:
            prefix = self._prefixes.of(service, name).encode("utf-8", "surrogateescape")
            self._write(b"".join(b"%s%s\n" % (prefix, line) for line in lines))

    def say(self, text: str) -> None:
        """Write a line of our own."""
        with self._lock:
            self._write(text.encode("utf-8", "replace") + b"\n")
