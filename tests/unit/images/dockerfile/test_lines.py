"""Lines, comments, continuations and parser directives."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile.instruction import Env, Run, ShellForm
from tests.support.dockerfiles import dockerfile, instruction, instructions, mistakes


def command(text: str) -> str:
    run = instruction(text)
    assert isinstance(run, Run) and isinstance(run.command, ShellForm)
    return run.command.text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("RUN a b", "a b"),
        ("   \t run a", "a"),
        ("RUN a \\\n b", "a  b"),
        ("RUN a\\\nb", "ab"),
        ("RUN a \\  \t\n  b", "a   b"),
        ("RUN a \\\r\n  b\r\n", "a   b"),
        ("RUN a \\\n# not this\n  # nor this\n b", "a  b"),
        ("RUN a \\\n\n  \n b", "a  b"),
        ("RUN a # not a comment", "a # not a comment"),
        ("RUN \\\n  a", "a"),
        ("RUN a \\\\\n", "a \\\\"),
        ("RUN a \\", "a"),
        ("RUN a \\\n", "a"),
        ("RUN a\\ b", "a\\ b"),
        ("RUN é \\\n ü", "é  ü"),
    ],
)
def test_physical_lines_are_joined(text: str, read: str) -> None:
    assert command(text) == read


def test_two_escape_characters_at_the_end_do_not_continue() -> None:
    first, second = instructions("RUN a \\\\\nRUN b")
    assert isinstance(first, Run) and isinstance(second, Run)
    assert first.command == ShellForm("a \\\\")


def test_a_byte_order_mark_is_dropped() -> None:
    assert dockerfile("\ufeffFROM scratch").stages[0].base.image == "scratch"


def test_an_empty_line_within_an_instruction_is_warned_of() -> None:
    (warning,) = dockerfile("FROM scratch\nRUN a \\\n\n b").warnings
    assert (warning.code, str(warning.sources[0])) == ("empty-continuation", "Dockerfile:3")


def test_places_are_those_of_the_physical_line() -> None:
    (mistake,) = mistakes("FROM scratch\nENV A=1 \\\n  # no\n    B\n")
    place = mistake.sources[0]
    assert (place.line, place.column, place.end_column) == (4, 5, 6)


def test_the_original_is_one_line_without_comments() -> None:
    assert instruction("  run  a \\\n # c\n b").original == "run  a  b"


@pytest.mark.parametrize(
    "text", ["# escape=`\n", "#escape=`\n", "# ESCAPE = `\n", "# syntax=docker/dockerfile:1\n# escape=`\n"]
)
def test_the_escape_directive_makes_the_backtick_continue_lines(text: str) -> None:
    read = dockerfile(f"{text}FROM scratch\nRUN a `\n b\nRUN c\\\n")
    assert read.escape == "`"
    assert [i.original for i in read.stages[0].instructions] == ["RUN a  b", "RUN c\\"]


@pytest.mark.parametrize(
    "text", ["# a comment\n# escape=`\n", "\n# escape=`\n", "# other=1\n# escape=`\n", "FROM scratch\n# escape=`\n"]
)
def test_a_directive_counts_only_at_the_top(text: str) -> None:
    assert dockerfile(f"{text}FROM scratch\nRUN a \\\n b").escape == "\\"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("# escape=x\nFROM a", "dockerfile-directive", 1),
        ("# escape=`\n# Escape=\\\nFROM a", "dockerfile-directive", 2),
    ],
)
def test_a_wrong_directive_is_an_error(text: str, code: str, line: int) -> None:
    (mistake,) = mistakes(text)
    assert (mistake.code, mistake.sources[0].line) == (code, line)


@pytest.mark.parametrize(
    ("value", "warns"),
    [
        ("docker/dockerfile:1", False),
        ("docker/dockerfile:1.7-labs", False),
        ("docker.io/docker/dockerfile:1", False),
        ("docker/dockerfile-upstream:master", False),
        ("docker/dockerfile@sha256:00", False),
        ("example.com/other:1", True),
    ],
)
def test_only_another_syntax_is_warned_of(value: str, warns: bool) -> None:
    codes = [warning.code for warning in dockerfile(f"# syntax={value}\nFROM a").warnings]
    assert codes == (["dockerfile-syntax"] if warns else [])


def test_checks_are_accepted() -> None:
    assert dockerfile("# check=skip=all;error=true\nFROM a").warnings == ()


def test_comments_between_instructions_are_nothing() -> None:
    (env,) = instructions("# x\n\n  # y\nENV a=1\n#")
    assert isinstance(env, Env)


def test_bytes_are_read_as_utf_8() -> None:
    (mistake,) = mistakes(b"FROM a\nRUN \xff")
    assert (mistake.code, mistake.sources[0].line) == ("dockerfile-encoding", 2)
