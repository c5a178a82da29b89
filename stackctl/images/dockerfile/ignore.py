"""``.dockerignore``: which files of a context the builder does not see.

Patterns are anchored at the context's top; ``*`` and ``?`` stop at ``/``, ``**`` does not; a match of a folder
covers all that is below it; the last matching line decides.
Source: Docker documentation, "Build context", ".dockerignore files".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Final

from stackctl.diagnostics import Diagnostic, SourceRange

_CLASS: Final = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Line:
    pattern: re.Pattern[str]
    is_exception: bool


@dataclass(frozen=True, slots=True)
class Ignore:
    """The lines of one file."""

    lines: tuple[_Line, ...] = ()
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str, path: str = ".dockerignore") -> Ignore:
        """Read the file's text. Lines that cannot match anything are told in ``warnings``."""
        lines: list[_Line] = []
        warnings: list[Diagnostic] = []
        for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            if raw.startswith("#"):
                continue
            pattern = raw.strip()
            is_exception = pattern.startswith("!")
            pattern = _cleaned(pattern.removeprefix("!").strip())
            if not pattern or pattern == ".":
                continue
            try:
                lines.append(_Line(_compiled(pattern), is_exception))
            except ValueError as error:
                warnings.append(_warning(SourceRange(path, number, 1, len(raw.rstrip()) + 1), str(error)))
        return cls(tuple(lines), tuple(warnings))

    def excludes(self, path: str, is_dir: bool = False) -> bool:
        """Return whether the file or folder ``path``, relative to the context, is left out.

        What is below an excluded folder may still be let in by an exception: see ``may_descend``.
        """
        del is_dir  # unlike git's, these patterns do not tell folders from files
        is_excluded = False
        parts = path.strip("/").split("/")
        parents = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        for line in self.lines:
            if line.is_exception == is_excluded and any(line.pattern.fullmatch(parent) for parent in parents):
                is_excluded = not line.is_exception
        return is_excluded

    @property
    def may_descend(self) -> bool:
        """True if there may be files to see below an excluded folder."""
        return any(line.is_exception for line in self.lines)


def _cleaned(pattern: str) -> str:
    if not pattern:
        return ""
    return posixpath.normpath(pattern).lstrip("/")


def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        text, at = _piece(pattern, at)
        parts.append(text)
    return re.compile("".join(parts), re.DOTALL)


def _piece(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at]
    if char == "*":
        return _stars(pattern, at)
    if char == "?":
        return "[^/]", at + 1
    if char == "[":
        found = _CLASS.match(pattern, at)
        if found is None:
            raise ValueError("a `[` is not closed")
        return _class(found), found.end()
    if char == "\\":
        if at + 1 == len(pattern):
            raise ValueError("it ends in a backslash")
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(char), at + 1


def _stars(pattern: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(pattern) and pattern[end] == "*":
        end += 1
    if end - at == 1:
        return "[^/]*", end
    if end == len(pattern):
        return ".*", end
    if pattern[end] == "/":
        return "(?:.*/)?", end + 1
    return ".*", end


def _class(found: re.Match[str]) -> str:
    body = re.sub(r"\\(.)|([\[&~|^])", lambda match: "\\" + (match[1] or match[2]), found[2], flags=re.DOTALL)
    try:
        re.compile(f"[{body}]")
    except re.error as error:
        raise ValueError(f"`{found[0]}` is no set of characters") from error
    return f"(?!/)[{'^' if found[1] else ''}{body}]"


def _warning(source: SourceRange, why: str) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code="dockerignore-pattern",
        summary="Pattern without effect",
        detail=f"It cannot be read: {why}.",
        sources=(source,),
    )
