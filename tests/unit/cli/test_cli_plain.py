"""What is read without click means what click makes of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.cli import plain
from stackctl.cli.commands import COMMANDS
from stackctl.cli.declared import Command
from stackctl.cli.declared_click import click_command
from stackctl.cli.main import root
from stackctl.errors import StackctlError


def _command(name: str) -> Command:
    entry = COMMANDS[name]
    found = getattr(import_module(f"stackctl.cli.{entry.module}"), entry.attribute)
    assert isinstance(found, Command)
    return found


def _clicks(name: str, words: list[str]) -> dict[str, Any] | None:
    """Return what click makes of the words, None for a mistake."""
    try:
        return click_command(_command(name), name).make_context(name, list(words)).params
    except (click.ClickException, StackctlError):
        return None


_WORDS = st.sampled_from(
    [
        "web",
        "db",
        "-",
        "--",
        "",
        "3",
        "-1",
        "1.5",
        "a=b",
        "web=3",
        "-e",
        "A=1",
        "-it",
        "-tail",
        "--help",
        "--nothing",
        "true",
        "f",
    ]
)


@st.composite
def _line(draw: st.DrawFn) -> tuple[str, list[str]]:
    name = draw(st.sampled_from(sorted(plain.DECLARED)))
    known = [word for one in _command(name).parameters for word in (*one.names, one.opposite) if word]
    options = st.sampled_from(known) if known else _WORDS
    pieces = st.one_of(options, _WORDS, st.builds(lambda option, word: f"{option}={word}", options, _WORDS))
    return name, draw(st.lists(pieces, max_size=6))


@given(_line())
def test_a_plain_line_gives_what_click_gives(line: tuple[str, list[str]]) -> None:
    name, words = line
    found = _command(name).plain(words)

    assert found is None or found == _clicks(name, words)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec web ls -l", {"service": "web", "command": ("ls", "-l")}),
        ("exec -T -e A=1 --env B=2 web sh -c true", {"no_tty": True, "environment": ("A=1", "B=2")}),
        ("exec --index=2 web true", {"index": 2}),
        ("exec --no-interactive web true", {"interactive": False}),
        ("run --rm -T web", {"removes": True, "no_tty": True, "command": ()}),
        ("up -d --scale web=3 web db", {"detach": True, "scales": ("web=3",), "services": ("web", "db")}),
        ("up web --pull always", {"pull": "always", "services": ("web",)}),
        ("down -v -t 1.5", {"volumes": True, "timeout": 1.5}),
        ("logs -f --tail 10 web", {"follow": True, "tail": "10", "services": ("web",)}),
        ("-f a.yaml --file=b.yaml -p shop stop", {"services": ()}),
    ],
)
def test_plain_lines_need_no_click(line: str, expected: dict[str, Any]) -> None:
    found = plain.find(line.split())

    assert found is not None
    assert expected.items() <= found[2].items()


@pytest.mark.parametrize(
    "line",
    [
        "exec web",
        "exec -it web sh",
        "exec --index many web sh",
        "up --help",
        "up --nothing",
        "up --watch",
        "up --pull sometimes",
        "down -t -1",
        "down -t",
        "logs -ft web",
        "--all-resources up",
        "-p up",
        "ps",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_click(line: str) -> None:
    assert plain.find(line.split()) is None


def test_options_before_the_command_are_read_as_click_reads_them() -> None:
    words = "-f a.yaml --file=b.yaml -p shop --project-directory dir --profile x --profile y --env-file e".split()
    found = plain.find([*words, "stop"])
    click_has = root.make_context("stackctl", [*words, "stop"]).params

    assert found is not None
    assert found[0].items() <= click_has.items()


def test_what_is_declared_is_what_is_looked_for() -> None:
    declared = {
        name
        for name, entry in COMMANDS.items()
        if isinstance(getattr(import_module(f"stackctl.cli.{entry.module}"), entry.attribute), Command)
    }

    assert declared == plain.DECLARED
