"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from stackctl.errors import UsageError

if TYPE_CHECKING:
    import click

F = TypeVar("F", bound=Callable[..., Any])


def services_argument(command: F) -> F:
    """Add the services that a command is about, for click."""
    import click  # commands that are declared do without

    return click.argument("services", nargs=-1, metavar="[SERVICE]...")(command)


def list_form(text: str) -> str:
    """Return how to print a list: ``table``, ``json`` or a template. Raises UsageError for another word."""
    if text in ("table", "json") or "{{" in text:
        return text
    raise UsageError(f'unsupported --format value "{text}"', hint="table, json, or a template such as {{.Name}}")


def timeout_option(command: F) -> F:
    """Add how long containers may take to stop, for click."""
    import click  # as above

    return click.option(
        "-t",
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long containers may take to stop.",
    )(command)


def unsupported(*declarations: str, takes_value: bool = False) -> Callable[[F], F]:
    """Accept an option of Compose only to say, as an error, that it is not supported yet."""
    import click  # as above

    return click.option(
        *declarations,
        is_flag=not takes_value,
        expose_value=False,
        hidden=True,
        callback=refuse,
        required=False,
    )


def refuse(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    """Say that the option, if it was given, is not supported yet. Raises UsageError."""
    del ctx
    if value:
        raise UsageError(f"{max(parameter.opts, key=len)} is not supported yet", code="not-supported")


def reject_pairs(given: dict[str, object], pairs: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError for two options that exclude each other. ``given`` maps options to their values."""
    for first, second in pairs:
        if given.get(first) and given.get(second):
            raise UsageError(f"{first} and {second} are incompatible")
