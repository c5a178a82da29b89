"""Collecting diagnostics while a stack file is worked on."""

from __future__ import annotations

from collections.abc import Iterable

from stackctl.diagnostics import Diagnostic, Severity, SourceRange
from stackctl.model.path import Path
from stackctl.stackfile.node import Mark

_ONCE_A_PLACE = ("bad-value", "duplicate-item", "unknown-key", "wrong-type")


class Problems:
    """Diagnostics found so far; the same one is kept once."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._said: set[tuple[str, tuple[SourceRange, ...]]] = set()

    def error(self, code: str, summary: str, *marks: Mark, detail: str = "", hint: str = "") -> None:
        """Add an error at ``marks``, the most specific first."""
        self._add("error", code, summary, marks, detail, hint)

    def warning(self, code: str, summary: str, *marks: Mark, detail: str = "", hint: str = "") -> None:
        """Add a warning at ``marks``, the most specific first."""
        self._add("warning", code, summary, marks, detail, hint)

    def note(self, code: str, summary: str, *marks: Mark, detail: str = "", hint: str = "") -> None:
        """Add a note at ``marks``, the most specific first."""
        self._add("note", code, summary, marks, detail, hint)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add diagnostics made elsewhere."""
        for diagnostic in diagnostics:
            self._found.setdefault(diagnostic)

    def all(self) -> tuple[Diagnostic, ...]:
        """Return everything found: errors first, then by place."""
        rank = {"error": 0, "warning": 1, "note": 2}
        return tuple(sorted(self._found, key=lambda found: (rank[found.severity], found.sources[:1])))

    @property
    def has_errors(self) -> bool:
        """Whether any of them is an error."""
        return any(found.severity == "error" for found in self._found)

    def _add(
        self, severity: Severity, code: str, summary: str, marks: tuple[Mark, ...], detail: str, hint: str
    ) -> None:
        sources = tuple(dict.fromkeys(mark.range() for mark in marks if mark.line))
        if sources and code in _ONCE_A_PLACE:
            # A service that others extend is looked at again as a part of each of them.
            if (code, sources) in self._said:
                return
            self._said.add((code, sources))
        found = Diagnostic(severity=severity, code=code, summary=summary, detail=detail, hint=hint, sources=sources)
        self._found.setdefault(found)


def dotted(path: Path) -> str:
    """Return ``services.web.ports[0]`` for a path; keys with odd characters are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(char.isalnum() or char in "_-" for char in part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def listing(names: Iterable[str]) -> str:
    """Return names in backquotes, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def alternatives(names: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    unique = list(dict.fromkeys(names))
    if len(unique) < 2:
        return "".join(unique)
    return f"{', '.join(unique[:-1])} or {unique[-1]}"


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice ``word`` is most likely a slip of, or None."""
    best: tuple[int, str] | None = None
    choices = list(choices)
    for choice in choices:
        distance = _distance(word.lower(), choice.lower())
        if best is None or distance < best[0]:
            best = (distance, choice)
    if best is not None and best[0] <= max(1, len(word) // 3):
        return best[1]
    holding = [choice for choice in choices if len(word) > 4 and word.lower() in choice.lower()]
    return holding[0] if len(holding) == 1 else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a hint that names the likely choice, or "" when there is none."""
    likely = suggestion(word, choices)
    return f"did you mean `{likely}`?" if likely is not None else ""


def _distance(left: str, right: str) -> int:
    """Count the edits between two words; swapping neighbours is one edit."""
    if abs(len(left) - len(right)) > 4 or len(left) > 80:
        return 99
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
