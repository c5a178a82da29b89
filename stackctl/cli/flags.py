"""``--flag=true`` and ``--flag=false``, as Docker's commands take them, for click, which does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

from stackctl.cli.declared import truth


def without_truths(command: click.Command, ctx: click.Context, words: list[str]) -> list[str]:
    """Return the words with a flag for each ``--flag=true``, and without those for ``--flag=false``.

    Words behind the first argument are left alone where they belong to that.
    """
    options = [option for option in command.get_params(ctx) if isinstance(option, click.Option)]
    flags = {name: one for one in options if one.is_flag for name in (*one.opts, *one.secondary_opts)}
    valued = {name for one in options if not one.is_flag and not one.count for name in one.opts}
    found: list[str] = []
    is_value = False
    for at, word in enumerate(words):
        if is_value:
            found.append(word)
            is_value = False
            continue
        if word == "--" or (not ctx.allow_interspersed_args and not word.startswith("-")):
            return [*found, *words[at:]]
        is_value = _wants_value(word, valued)
        name, equals, value = word.partition("=")
        is_on = truth(value) if equals and name in flags else None
        if is_on is None:
            found.append(word)
            continue
        # The last one said counts, and a flag that has no opposite can only be taken back.
        found = [earlier for earlier in found if earlier not in flags[name].opts]
        found += _said(flags[name], name, is_on=is_on)
    return found


def _wants_value(word: str, valued: Collection[str]) -> bool:
    """Whether the next word is the value of an option in this one."""
    if word.startswith("--"):
        return word in valued
    taking = [at for at, letter in enumerate(word) if at and f"-{letter}" in valued]
    return word.startswith("-") and bool(taking) and taking[0] == len(word) - 1


def _said(option: click.Option, name: str, *, is_on: bool) -> list[str]:
    """Return the words that say it, none for what goes without saying."""
    if is_on:
        return [name]
    others = option.opts if name in option.secondary_opts else option.secondary_opts
    return others[:1]


def with_truths(command: click.Command) -> click.Command:
    """Return a command that takes flags so, and its commands too, if it has any."""
    if "parse_args" in vars(command):  # it does already
        return command
    parse = command.parse_args

    def parse_args(ctx: click.Context, args: list[str]) -> list[str]:
        return parse(ctx, without_truths(command, ctx, args))

    changed: Any = command
    changed.parse_args = parse_args
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        with_truths(inner)
    return command
