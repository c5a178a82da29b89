"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from stackctl.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

services_argument = click.argument("services", nargs=-1, metavar="[SERVICE]...")
timeout_option = click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long containers may take to stop.",
)


def unsupported(*declarations: str, takes_value: bool = False) -> Callable[[F], F]:
    """Accept an option of Compose only to say, as an error, that it is not supported yet."""

    def refuse(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        del ctx, parameter
        if value:
            raise UsageError(f"{declarations[-1]} is not supported yet", code="not-supported")

    return click.option(
        *declarations,
        is_flag=not takes_value,
        expose_value=False,
        hidden=True,
        callback=refuse,
        required=False,
    )


def reject_pairs(given: dict[str, object], pairs: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError for two options that exclude each other. ``given`` maps options to their values."""
    for first, second in pairs:
        if given.get(first) and given.get(second):
            raise UsageError(f"{first} and {second} are incompatible")
