"""The files a load reads, and their lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from stackctl.stackfile.node import Mark

ReadFile = Callable[[str], bytes]


MAX_FILE_BYTES = 64 * 1024**2


def read_from_disk(path: str) -> bytes:
    """Return the content of a file. Raises OSError, EFBIG for one that is too large or never ends."""
    with open(path, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content


class Sources:
    """Reads files for one load, and remembers which were there, which were not, and their lines."""

    def __init__(self, *, cwd: str, stdin: str = "", read: ReadFile = read_from_disk) -> None:
        self.cwd = cwd
        self.present: list[str] = []
        self.absent: list[str] = []
        self.found: list[str] = []
        self._stdin = stdin
        self._read = read
        self._lines: dict[str, list[str]] = {}

    def read(self, path: str) -> bytes:
        """Return a file's content; ``-`` is the standard input. Raises OSError."""
        if path == "-":
            return self._stdin.encode("utf-8", "surrogatepass")
        full = self.full(path)
        if "\0" in full:
            raise FileNotFoundError(2, os.strerror(2), path)
        try:
            content = self._read(full)
        except FileNotFoundError:
            self.absent.append(full)
            raise
        self.present.append(full)
        return content

    def exists(self, path: str) -> bool:
        """Say whether something is at ``path``; either way it is remembered."""
        full = self.full(path)
        if "\0" not in full and os.path.exists(full):
            self.found.append(full)
            return True
        self.absent.append(full)
        return False

    def full(self, path: str) -> str:
        """Return ``path`` made absolute."""
        return os.path.normpath(os.path.join(self.cwd, path))

    def keep_lines(self, file: str, lines: list[str]) -> None:
        """Remember the lines of ``file``, for excerpts."""
        self._lines[file] = lines

    def find(self, mark: Mark, text: str) -> Mark:
        """Return where ``text`` stands in the value that starts at ``mark``; ``mark`` if it is not found."""
        lines = self._lines.get(mark.file, [])
        first = text.splitlines()[0] if text else ""
        if not first:
            return mark
        start = mark.column - 1
        for number in range(mark.line, min(mark.line + 400, len(lines)) + 1):
            at = lines[number - 1].find(first, start)
            if at >= 0:
                return Mark(mark.file, number, at + 1, at + 1 + len(first))
            start = 0
        return mark

    def line_texts(self) -> Mapping[tuple[str, int], str]:
        """Map (file, line) to the line's text, as ``diagnostics.render`` wants it."""
        return MappingProxyType(
            {(file, number): text for file, lines in self._lines.items() for number, text in enumerate(lines, start=1)}
        )
