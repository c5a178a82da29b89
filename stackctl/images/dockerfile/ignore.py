"""``.dockerignore``: which files of a context the builder does not see.

Patterns are anchored at the context's top; ``*`` and ``?`` stop at ``/``, ``**`` does not; a match of a folder
covers all that is below it; the last matching line decides.
Source: Docker documentation, "Build context", ".dockerignore files".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.images.dockerfile.path_pattern import path_regex


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
                lines.append(_Line(path_regex(pattern, covers_below=True), is_exception))
            except ValueError as error:
                warnings.append(_warning(SourceRange(path, number, 1, len(raw.rstrip()) + 1), str(error)))
        return cls(tuple(lines), tuple(warnings))

    def excludes(self, path: str, is_dir: bool = False) -> bool:
        """Return whether the file or folder ``path``, relative to the context, is left out.

        What is below an excluded folder may still be let in by an exception: see ``may_descend``.
        """
        del is_dir  # unlike git's, these patterns do not tell folders from files
        is_excluded = False
        path = path.strip("/")
        for line in self.lines:
            if line.is_exception == is_excluded and line.pattern.fullmatch(path):
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


def _warning(source: SourceRange, why: str) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code="dockerignore-pattern",
        summary="Pattern without effect",
        detail=f"It cannot be read: {why}.",
        sources=(source,),
    )
