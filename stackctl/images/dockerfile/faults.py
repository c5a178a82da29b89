"""Collecting what is wrong with a Dockerfile."""

from __future__ import annotations

from collections.abc import Sequence

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import ImageError


class DockerfileError(ImageError):
    """The Dockerfile cannot be built as it stands; ``diagnostics`` says where and why."""

    code = "dockerfile"


class Faults:
    """Diagnostics in the order found."""

    def __init__(self) -> None:
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []

    def error(self, code: str, summary: str, source: SourceRange, *, detail: str = "", hint: str = "") -> None:
        self.errors.append(
            Diagnostic(severity="error", code=code, summary=summary, detail=detail, hint=hint, sources=(source,))
        )

    def warning(self, code: str, summary: str, source: SourceRange, *, detail: str = "", hint: str = "") -> None:
        self.warnings.append(
            Diagnostic(severity="warning", code=code, summary=summary, detail=detail, hint=hint, sources=(source,))
        )

    def raise_if_any(self, path: str) -> None:
        """Raise DockerfileError if an error was found."""
        if self.errors:
            raise DockerfileError(f"{path} cannot be built", diagnostics=(*self.errors, *self.warnings))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest of the ``known`` words, or ""."""
    import difflib  # 3 ms: only when something is wrong

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""
