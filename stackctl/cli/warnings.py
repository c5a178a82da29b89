"""Warnings about the user's text: each is told once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from stackctl.cli.failure import diagnostic_text
from stackctl.cli.settings import Settings

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic


# What is worth saying when something is made, and not each time that it is found unchanged.
_SAID_ONCE: Final = ("boot", "host")
# What most older files have, and what harms nobody.
_IN_BRIEF: Final = ("obsolete-key",)


def untold(settings: Settings, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return those that have not been told yet; they count as told from now on."""
    found = [diagnostic for diagnostic in diagnostics if diagnostic not in settings.told]
    settings.told.update(found)
    return found


def tell(
    settings: Settings,
    diagnostics: Iterable[Diagnostic],
    write: Callable[[str], object] | None = None,
    *,
    in_full: bool = False,
) -> None:
    """Write what has not been told yet, to standard error, or by ``write`` without final newlines.

    Unless ``in_full``, what harms nobody takes one line.
    """
    has_colour = settings.has_colour(is_terminal=sys.stderr.isatty())
    for diagnostic in untold(settings, diagnostics):
        if diagnostic.code == "boot" and settings.environment.get("STACKCTL_BOOT_NOTICE") == "0":
            continue
        if diagnostic.code in _IN_BRIEF and not in_full:
            text = _brief(diagnostic)
        else:
            text = diagnostic_text(diagnostic, lines=settings.lines, has_colour=has_colour)
        if settings.progress == "json":
            import json  # only then

            shape = {"id": "", "status": "Warning", "text": diagnostic.summary, "details": text}
            text = json.dumps(shape, ensure_ascii=False)
            _print(text)
        elif settings.progress != "quiet":
            (write or _print)(text)
        else:
            continue
        if diagnostic.code not in _SAID_ONCE:
            settings.warned.append(f"{text}\n")


def _brief(diagnostic: Diagnostic) -> str:
    place = f"{diagnostic.sources[0]}: " if diagnostic.sources else ""
    return f"{diagnostic.severity}[{diagnostic.code}]: {place}{diagnostic.detail.rstrip('.')}: {diagnostic.hint}"


def _print(text: str) -> None:
    print(text, file=sys.stderr)
