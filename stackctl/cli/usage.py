"""Mistakes on the command line, as click finds them."""

from __future__ import annotations

from typing import Final

import click

from stackctl.errors import UsageError

# What a number is called where it may not be any.
_WORDS: Final = (
    ("is not a valid float range", "is no number"),
    ("is not a valid integer range", "is no whole number"),
)


def usage_error(error: click.ClickException) -> UsageError:
    """Return what click has against the command line, in our words."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{ctx.command_path} --help` shows how it is used" if ctx is not None else ""
    if isinstance(error, click.NoSuchOption):
        likely = (error.possibilities or [""])[0]
        return UsageError(f"no such option: {error.option_name}", hint=f"did you mean `{likely}`?" if likely else hint)
    text = " ".join(error.format_message().split()).removesuffix(".")
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return UsageError(text[:1].lower() + text[1:], hint=hint)
