"""Physical lines of a Dockerfile → logical lines, with the place of every character.

Source: Dockerfile reference, "Format", "Parser directives", "escape", "Here-documents".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from stackctl.diagnostics import SourceRange
from stackctl.images.dockerfile.faults import Faults

_BLANK: Final = " \t\v\f\r"
_DIRECTIVE: Final = re.compile(r"#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*")
_DIRECTIVES: Final = ("syntax", "escape", "check")
_OWN_SYNTAX: Final = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """An instruction's text on one line. ``starts`` are offsets into it, ``places`` their (line, column)."""

    file: str
    text: str
    starts: tuple[int, ...]
    places: tuple[tuple[int, int], ...]

    def range(self, start: int, end: int) -> SourceRange:
        """Return the place of ``text[start:end]``, cut at the end of its physical line."""
        at = max(0, bisect_right(self.starts, start) - 1)
        line, column = self.places[at]
        limit = self.starts[at + 1] if at + 1 < len(self.starts) else len(self.text)
        begin = column + start - self.starts[at]
        return SourceRange(self.file, line, begin, max(begin, column + min(end, limit) - self.starts[at]))

    def find(self, word: str, start: int = 0) -> SourceRange:
        """Return the place of the first ``word`` from ``start`` on, or of the whole line's first word."""
        at = self.text.find(word, start) if word else -1
        if at < 0:
            return self.range(0, len(self.text.split(maxsplit=1)[0]) if self.text.strip() else 0)
        return self.range(at, at + len(word))


class Lines:
    """Reads a file's logical lines one after the other; the directives are read at once."""

    def __init__(self, text: str, file: str, faults: Faults, *, escape: str = "\\") -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._file = file
        self._faults = faults
        self._next = 0
        self.escape = escape
        self._read_directives()
        char = re.escape(self.escape)
        self._continues = re.compile(rf"(?<!{char}){char}[ \t]*$")

    def next(self) -> LogicalLine | None:
        """Return the next instruction's line, or None at the end."""
        while self._next < len(self._lines):
            raw = self._lines[self._next]
            if not _is_comment(raw) and raw.strip():
                line = self._logical()
                if line.text.strip():
                    return line
            else:
                self._next += 1
        return None

    def heredoc(self, name: str, *, strips_tabs: bool) -> str | None:
        """Return the text up to a line that is ``name``, and go on behind it.

        None if there is no such line; then nothing is left to read.
        """
        content: list[str] = []
        for at in range(self._next, len(self._lines)):
            line = self._lines[at].removesuffix("\r")
            if (line.lstrip("\t") if strips_tabs else line) == name:
                self._next = at + 1
                return "".join(content)
            content.append(line + "\n")
        self._next = len(self._lines)
        return None

    def _logical(self) -> LogicalLine:
        pieces: list[str] = []
        starts: list[int] = []
        places: list[tuple[int, int]] = []
        length = 0
        is_first = True
        empty_at = 0
        while self._next < len(self._lines):
            raw = self._lines[self._next].rstrip("\r")
            self._next += 1
            if not is_first and _is_comment(raw):
                continue
            if not is_first and not raw.strip():
                empty_at = empty_at or self._next
                continue
            piece = raw.lstrip(_BLANK) if is_first else raw
            column = len(raw) - len(piece) + 1
            is_first = False
            end = self._continues.search(piece)
            piece = piece[: end.start()] if end else piece
            pieces.append(piece)
            starts.append(length)
            places.append((self._next, column))
            length += len(piece)
            if not end:
                break
        if empty_at:
            self._warn_of_empty_line(empty_at)
        return LogicalLine(self._file, "".join(pieces), tuple(starts), tuple(places))

    def _warn_of_empty_line(self, number: int) -> None:
        self._faults.warning(
            "empty-continuation",
            "Empty line within an instruction",
            SourceRange(self._file, number),
            detail="The instruction goes on behind it.",
            hint="remove the line, or begin it with `#`",
        )

    def _read_directives(self) -> None:
        seen: set[str] = set()
        for number, raw in enumerate(self._lines, 1):
            found = _DIRECTIVE.fullmatch(raw.strip(_BLANK))
            key = found[1].lower() if found else ""
            if found is None or key not in _DIRECTIVES:
                return
            self._next = number
            begin = raw.find(found[2], raw.find("=") + 1) + 1
            place = SourceRange(self._file, number, begin, begin + len(found[2]))
            if key in seen:
                self._faults.error(
                    "dockerfile-directive",
                    "Directive given twice",
                    place,
                    detail=f"`{key}` stands above already.",
                )
            seen.add(key)
            self._directive(key, found[2], place)

    def _directive(self, key: str, value: str, place: SourceRange) -> None:
        if key == "escape":
            if value not in ("\\", "`"):
                self._faults.error(
                    "dockerfile-directive",
                    "Invalid escape character",
                    place,
                    detail="It is a backslash or a backtick.",
                )
                return
            self.escape = value
        elif key == "syntax" and not _OWN_SYNTAX.fullmatch(value):
            self._faults.warning(
                "dockerfile-syntax",
                "Syntax without effect",
                place,
                detail="The file is read as docker/dockerfile:1 would be; no other frontend is run.",
            )


def _is_comment(line: str) -> bool:
    return line.lstrip(_BLANK).startswith("#")
