"""Texts that stand below their instruction."""

from __future__ import annotations

import pytest

from stackctl.images.dockerfile import parse_triggers
from stackctl.images.dockerfile.instruction import Add, Copy, ExecForm, Heredoc, OnBuild, Run, ShellForm
from tests.support.dockerfiles import instruction, instructions, mistakes


def run(text: str) -> Run:
    read = instruction(text)
    assert isinstance(read, Run)
    return read


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("RUN <<EOF\na\n  b\nEOF", "a\n  b\n"),
        ("RUN <<E-1\nEOF\nE-1", "EOF\n"),
        ("RUN <<EOF\nEOF", ""),
        ("RUN <<'EOF'\n$a\nEOF", "$a\n"),
        ('RUN <<"E F"\na\nE F', "a\n"),
        ("RUN <<-EOF\n\t\ta\n\t b\n\tEOF", "a\n b\n"),
        ("RUN <<EOF\r\na\r\nEOF\r\n", "a\n"),
        ("RUN <<EOF\n# kept\n\na \\\nb\nEOF", "# kept\n\na \\\nb\n"),
        ("RUN <<EOF\n EOF\nEOF", " EOF\n"),
        ("RUN --network=none <<EOF\na\nEOF", "a\n"),
    ],
)
def test_a_heredoc_alone_is_the_script(text: str, script: str) -> None:
    found = run(text)
    assert found.script is not None
    assert (found.script.text, found.shell_text) == (script, script)


@pytest.mark.parametrize(
    ("text", "shell_text"),
    [
        ("RUN cat <<EOF > /x\na\nEOF", "cat <<EOF > /x\na\nEOF"),
        ("RUN <<EOF cat\na\nEOF", "<<EOF cat\na\nEOF"),
        ("RUN cat <<-A 3<<B\n\ta\n\tA\nb\nB", "cat <<-A 3<<B\n\ta\nA\nb\nB"),
        ("RUN cat <<'A' && cat <<B\na\nA\nb\nB", "cat <<'A' && cat <<B\na\nA\nb\nB"),
    ],
)
def test_a_heredoc_beside_a_command_is_left_to_the_shell(text: str, shell_text: str) -> None:
    found = run(text)
    assert found.script is None
    assert found.shell_text == shell_text


@pytest.mark.parametrize(
    "text",
    [
        "RUN cat << EOF",
        "RUN echo '<<EOF'",
        'RUN ["<<EOF"]',
        "RUN echo a<<EOF",
        "RUN echo \\<<EOF",
        "RUN a <<<b",
        "RUN a <<",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert run(text).heredocs == ()


@pytest.mark.parametrize("name", ["COPY", "ADD"])
def test_copied_heredocs_are_sources_of_their_own(name: str) -> None:
    read = instruction(f"{name} <<a.txt b <<'c' /d/\n$x\na.txt\n$y\nc")
    assert isinstance(read, Copy | Add)
    assert (read.sources, read.destination) == (("b",), "/d/")
    assert read.heredocs == (Heredoc("a.txt", "$x\n"), Heredoc("c", "$y\n", expands=False))


def test_other_instructions_have_none() -> None:
    assert len(instructions("ENV A=<<EOF\nENV B=1")) == 2


def test_what_follows_is_read_on() -> None:
    first, second = instructions("RUN <<A\nx\nA\nRUN y")
    assert isinstance(first, Run) and isinstance(second, Run)
    assert second.command == ShellForm("y")


def test_one_that_is_not_ended_is_an_error() -> None:
    (mistake,) = mistakes("FROM a\nRUN cat <<EOF\nx\n")
    assert mistake.detail == "The heredoc is not ended: there is no line `EOF` below."
    assert (mistake.sources[0].line, mistake.sources[0].column) == (2, 9)


def test_a_destination_cannot_be_one() -> None:
    (mistake,) = mistakes("FROM a\nCOPY x <<EOF\nEOF")
    assert mistake.detail == "A heredoc cannot be the destination."


def test_a_trigger_brings_its_heredoc_along() -> None:
    first, second = instructions("ONBUILD RUN cat <<EOF\na\nEOF\nONBUILD COPY <<x /\nb\nx")
    assert isinstance(first, OnBuild) and isinstance(second, OnBuild)
    assert (first.trigger, second.trigger) == ("RUN cat <<EOF\na\nEOF", "COPY <<x /\nb\nx")
    read = parse_triggers([first.trigger, second.trigger, 'RUN ["a"]'], first.line)
    assert isinstance(read[0], Run) and read[0].shell_text == "cat <<EOF\na\nEOF"
    assert isinstance(read[1], Copy) and read[1].heredocs == (Heredoc("x", "b\n"),)
    assert isinstance(read[2], Run) and read[2].command == ExecForm(("a",))
    assert {i.line for i in read} == {first.line}
