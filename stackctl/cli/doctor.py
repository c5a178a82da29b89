"""`doctor`: can this machine run the engine?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stackctl.cli.failure import Failure
from stackctl.cli.render.style import GREEN, RED, YELLOW, paint
from stackctl.cli.settings import current_settings

if TYPE_CHECKING:
    from stackctl.engines.doctor import Check

_COLOURS = {"ok": GREEN, "warning": YELLOW, "error": RED}
_MARKS = {"ok": "✔", "warning": "!", "error": "✘"}


@click.command()
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="How to show it.")
def doctor(form: str) -> None:
    """Check whether this machine can run the engine, and say what to do where it cannot.

    Exits with 1 if something is missing that the engine needs. Changes nothing.
    """
    from stackctl.engines.doctor import examine  # the network's code: not for --help

    settings = current_settings()
    checks = list(examine(settings.environment))
    if form == "json":
        click.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        has_colour = settings.has_colour(is_terminal=sys.stdout.isatty())
        click.echo("".join(_lines(check, has_colour=has_colour) for check in checks), nl=False, color=has_colour)
    if any(check.verdict == "error" for check in checks):
        raise Failure(1)


def _lines(check: Check, *, has_colour: bool) -> str:
    mark = _MARKS[check.verdict]
    shown = paint(mark, _COLOURS[check.verdict]) if has_colour else mark
    text = f"{shown} {check.name + ':':<23}{check.detail}\n"
    return text + (f"  {'hint:':<23}{check.hint}\n" if check.hint else "")
