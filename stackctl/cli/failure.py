"""Errors as the user sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from stackctl.errors import EngineError, StackctlError

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic, Severity

_COLOURS: Final[Mapping[Severity, str]] = {"error": "1;31", "warning": "1;33", "note": "1;36"}


# What shells exit with; so do `docker exec` and `docker run`.
_NOT_STARTED: Final = {"command-not-found": 127, "command-not-executable": 126, "command-wrong-format": 126}


class Failure(Exception):
    """Ends the command with an exit status when everything has been said already."""

    def __init__(self, exit_status: int) -> None:
        super().__init__(exit_status)
        self.exit_status = exit_status


@contextmanager
def as_shells_exit() -> Iterator[None]:
    """Give an error about a command that cannot be started the status a shell would exit with."""
    try:
        yield
    except EngineError as error:
        error.exit_status = _NOT_STARTED.get(error.code, error.exit_status)
        raise


def error_text(
    error: StackctlError, *, lines: Mapping[tuple[str, int], str] | None = None, has_colour: bool = False
) -> str:
    """Return the error in full, without a final newline.

    Diagnostics come first, as they point at the text; the message itself follows, once, unless a diagnostic
    is of the same failure.
    """
    parts = [diagnostic_text(diagnostic, lines=lines, has_colour=has_colour) for diagnostic in error.diagnostics]
    if not any(_says(diagnostic, error) for diagnostic in error.diagnostics):
        parts.append(_headline("error", error.code, has_colour=has_colour) + error.message)
        if error.hint:
            parts[-1] += f"\nhint: {error.hint}"
    return "\n".join(parts)


def _says(diagnostic: Diagnostic, error: StackctlError) -> bool:
    is_it = diagnostic.severity == "error" and diagnostic.code == error.code
    return is_it or error.message in diagnostic.detail


def diagnostic_text(
    diagnostic: Diagnostic, *, lines: Mapping[tuple[str, int], str] | None = None, has_colour: bool = False
) -> str:
    """Return one diagnostic with excerpts of the files it speaks of, without a final newline.

    Places whose text is not among ``lines`` are read from their files: the engine sends none along.
    """
    from stackctl.diagnostics import render  # only when something is wrong

    known = {**read_lines((diagnostic,)), **(lines or {})}
    text = render(diagnostic, text_of_line=known)
    if not has_colour:
        return text
    head, newline, rest = text.partition("\n")
    mark, _, summary = head.partition(" ")
    return f"\x1b[{_COLOURS[diagnostic.severity]}m{mark}\x1b[0m {summary}{newline}{rest}"


def read_lines(diagnostics: Sequence[Diagnostic]) -> dict[tuple[str, int], str]:
    """Return the text of the lines that diagnostics point at, of those files that can be read."""
    wanted: dict[str, set[int]] = {}
    for diagnostic in diagnostics:
        for source in diagnostic.sources:
            wanted.setdefault(source.file, set()).add(source.line)
    found = {}
    for file, numbers in wanted.items():
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except (OSError, ValueError):  # not here, or no name of a file at all
            continue
        lines = text.splitlines()
        found.update({(file, n): lines[n - 1] for n in numbers if 0 < n <= len(lines)})
    return found


def _headline(severity: Severity, code: str, *, has_colour: bool) -> str:
    mark = f"{severity}[{code}]:"
    return f"\x1b[{_COLOURS[severity]}m{mark}\x1b[0m " if has_colour else f"{mark} "
