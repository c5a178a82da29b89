"""Declared commands as click's: for help, for errors, and for what is not plain."""

from __future__ import annotations

from typing import Any, assert_never

import click

from stackctl.cli.declared import Choice, Command, Number, Parameter, Type, Whole
from stackctl.cli.flags import with_truths
from stackctl.cli.options import refuse


def click_command(command: Command, name: str) -> click.Command:
    """Return click's form of a declared command."""
    found = click.Command(
        name,
        callback=command.function,
        params=[_parameter(one) for one in command.parameters],
        help=command.function.__doc__,
        context_settings={"allow_interspersed_args": not command.passes_on, "ignore_unknown_options": False},
    )
    return with_truths(found)


def _parameter(one: Parameter) -> click.Parameter:
    match one.kind:
        case "argument" | "arguments":
            count = 1 if one.kind == "argument" else -1
            return click.Argument([one.dest], nargs=count, required=one.is_required, metavar=one.metavar)
        case "rest":
            return click.Argument(
                [one.dest], nargs=-1, required=one.is_required, metavar=one.metavar, type=click.UNPROCESSED
            )
        case "flag" | "switch" | "value" | "many" | "refused":
            return _option(one)
        case _:
            assert_never(one.kind)


def _option(one: Parameter) -> click.Option:
    names = [f"{name}/{one.opposite}" if one.opposite and name.startswith("--") else name for name in one.names]
    settings: dict[str, Any] = {"help": one.help, "hidden": one.is_hidden, "metavar": one.metavar}
    if one.kind == "refused":
        settings.update(is_flag=one.default is False, expose_value=False, callback=refuse)
    elif one.takes_value:
        settings.update(multiple=one.kind == "many", type=_type(one.type))
    if one.kind in ("flag", "switch", "value"):
        settings["default"] = one.default
    if one.kind in ("flag", "switch"):
        settings.update(is_flag=True)
    return click.Option([*names, one.dest], **settings)


def _type(given: Type) -> click.ParamType[Any]:
    match given:
        case None:
            return click.STRING
        case Choice(values=values):
            return click.Choice(values)
        case Number(least=least):
            return click.FloatRange(min=least)
        case Whole(least=least):
            return click.IntRange(min=least)
        case _:
            assert_never(given)
