"""Diagnostics: what is wrong with the user's text, and where.

Diagnostics are values. They are collected, many at a time, and rendered once at an edge; an
exception (see ``errors``) is the one thing that stopped us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, order=True)
class SourceRange:
    """A stretch of one line of a file the user wrote.

    ``file`` is the path as the user typed it; ``line`` and ``column`` count from 1;
    ``end_column`` is exclusive, and equals ``column`` when only a point is known.
    """

    file: str
    line: int
    column: int = 1
    end_column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One problem.

    ``code`` is stable and kebab-case. ``summary`` names the kind of problem and never contains
    the user's own names; ``detail`` says what, in full sentences; ``hint`` says how to mend it.
    ``sources`` are the places concerned, the most specific first. Where the engine does not know them,
    ``subject`` names the container and the field of its specification, so that who reads the stack file can.
    """

    severity: Severity
    code: str
    summary: str
    detail: str = ""
    hint: str = ""
    sources: tuple[SourceRange, ...] = ()
    subject: tuple[str, str] = ("", "")


def render(diagnostic: Diagnostic, *, text_of_line: dict[tuple[str, int], str]) -> str:
    """Return the diagnostic as the several lines a terminal shows, without a final newline.

    ``text_of_line`` maps (file, line) to that line's text; a place that is missing there is shown
    without its text.
    """
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.summary}"]
    for source in diagnostic.sources:
        lines.append(f"  --> {source.file}:{source.line}:{source.column}")
        text = text_of_line.get((source.file, source.line))
        if text is not None:
            lines += _excerpt(source, text)
    if diagnostic.detail:
        lines.append(diagnostic.detail)
    if diagnostic.hint:
        lines.append(f"hint: {diagnostic.hint}")
    return "\n".join(lines)


def _excerpt(source: SourceRange, text: str) -> list[str]:
    number = f"{source.line:>5}"
    shown = text.rstrip("\r\n").expandtabs(1)
    width = max(1, source.end_column - source.column)
    caret = " " * (source.column - 1) + "^" * width
    return [f"{number} | {shown}", f"{' ' * len(number)} | {caret}"]
