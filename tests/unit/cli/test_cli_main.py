"""Options before the command, exit codes, errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackctl import __version__
from stackctl.cli import version as version_module
from stackctl.cli.commands import COMMANDS
from stackctl.cli.failure import error_text
from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import EngineError

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_help(call: Call, name: str) -> None:
    status, out, _ = call(name, "--help")
    assert (status, out.startswith(f"Usage: stackctl {name}")) == (0, True)


def test_no_command_shows_help_and_is_no_error(call: Call) -> None:
    status, out, _ = call()
    assert status == 0
    assert re.search(r"^  up +Create and start the stack", out, re.MULTILINE)


@pytest.mark.parametrize("group", ["engine", "image", "volume", "system"])
def test_a_group_alone_shows_its_help(call: Call, group: str) -> None:
    status, out, err = call(group)
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: stackctl {group} [OPTIONS] COMMAND")


def test_what_is_no_number_is_said_to_be_none(call: Call) -> None:
    said = call("up", "-d", "-t", "x")[2]
    assert said.startswith("error[usage]: invalid value for '-t' / '--timeout': 'x' is no number\nhint: ")
    assert "'x' is no whole number" in call("attach", "--index", "x", "web")[2]


def test_an_unknown_command_is_answered_with_the_likely_one(call: Call) -> None:
    assert call("pss") == (1, "", "error[unknown-command]: unknown command: pss\nhint: did you mean `ps`?\n")


def test_a_command_of_compose_that_is_to_come_says_so(call: Call) -> None:
    assert call("publish") == (1, "", "error[not-supported]: the command publish is not supported yet\n")


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--watch"),
        ("up", "-V"),
    ],
)
def test_an_option_that_is_to_come_is_an_error(call: Call, arguments: tuple[str, ...]) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (1, "")
    assert err.endswith("is not supported yet\n")


@pytest.mark.parametrize("arguments", [("--bogus",), ("ps", "--bogus"), ("ps", "--format", "xml"), ("exec", "web")])
def test_usage_errors_exit_with_one(call: Call, arguments: tuple[str, ...]) -> None:
    status, _, err = call(*arguments)
    assert status == 1
    assert err.startswith("error[usage]: ")


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "arguments",
    [
        ("-d", "--abort-on-container-exit"),
        ("-d", "--exit-code-from", "web"),
        ("-d", "--abort-on-container-failure"),
        ("-d", "--attach", "web"),
        ("--attach", "web", "--attach-dependencies"),
        ("--always-recreate-deps", "--no-recreate"),
        ("--force-recreate", "--no-recreate"),
        ("--wait", "--abort-on-container-exit"),
    ],
)
def test_options_that_exclude_each_other(call: Call, arguments: tuple[str, ...]) -> None:
    status, _, err = call("up", *arguments)
    assert status == 1
    assert "are incompatible" in err


def test_a_bad_progress_mode_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("--progress", "loud", "ps")[0] == 1
    monkeypatch.setenv("COMPOSE_PROGRESS", "loud")
    assert call("ps")[2].startswith('error[usage]: unsupported --progress value "loud"')


@pytest.mark.usefixtures("no_engine")
def test_no_stack_file_says_what_to_do(call: Call, shop: Path) -> None:
    (shop / "compose.yaml").unlink()
    status, _, err = call("up")
    assert status == 1
    assert err.startswith("error[file-not-found]: No stack file found\n")


@pytest.mark.usefixtures("no_engine")
def test_errors_of_the_stack_file_are_shown_with_their_lines(call: Call, shop: Path) -> None:
    (shop / "compose.yaml").write_text("services:\n  web:\n    image: [host]\n")
    status, _, err = call("config")
    assert status == 1
    assert "  --> compose.yaml:3:" in err
    assert "    3 |     image: [host]\n" in err
    assert err.rstrip().endswith("error[stack-file]: the stack file has an error")


@pytest.mark.usefixtures("no_engine")
def test_errors_in_json_progress_are_json(call: Call) -> None:
    status, _, err = call("--progress", "json", "start")
    found = json.loads(err)
    assert (status, found["error"], found["message"]) == (1, True, "the stack has no container to start")


def test_an_error_of_the_engine_quotes_the_line_it_is_about(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text('services:\n  web:\n    ports:\n      - "8080:80"\n')
    diagnostic = Diagnostic(
        severity="error",
        code="port-taken",
        summary="Host port is already in use",
        detail="127.0.0.1:8080 is held by pid 4711 (nginx).",
        hint="free the port, or publish on another one",
        sources=(SourceRange(str(file), 4, 10, 14),),
    )
    error = EngineError("127.0.0.1:8080 is held by pid 4711 (nginx)", code="port-taken", diagnostics=(diagnostic,))
    assert error_text(error) == (
        "error[port-taken]: Host port is already in use\n"
        f"  --> {file}:4:10\n"
        '    4 |       - "8080:80"\n'
        "      |          ^^^^\n"
        "127.0.0.1:8080 is held by pid 4711 (nginx).\n"
        "hint: free the port, or publish on another one"
    )


def test_an_unforeseen_error_is_no_traceback_unless_debugging(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(version_module.version, "callback", fail)
    status, _, err = call("version")
    assert status == 1
    assert err.startswith("error[internal]: internal error: ZeroDivisionError: odd\n")
    assert "Traceback" not in err
    monkeypatch.setenv("STACKCTL_DEBUG", "1")
    assert "Traceback" in call("version")[2]


def test_version(call: Call) -> None:
    assert call("version")[1] == f"stackctl version {__version__}\n"
    assert call("version", "--short")[1] == f"{__version__}\n"
    assert json.loads(call("version", "-f", "json")[1]) == {"version": f"v{__version__}"}
    assert call("--version")[1] == f"stackctl version {__version__}\n"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-c", "from stackctl.cli.entry import main; main()", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert process.stderr == b""


@pytest.mark.parametrize(
    ("line", "is_quiet"),
    [
        (["config", "--quiet=true"], True),
        (["config", "-q=1"], True),
        (["config", "--quiet", "--quiet=false"], False),
        (["--all-resources=true", "config", "--quiet=F"], False),
    ],
)
def test_a_flag_can_be_given_a_truth(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str], is_quiet: bool
) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: i}}\n")
    monkeypatch.chdir(tmp_path)

    status, out, err = call(*line)

    assert (status, out == "", err) == (0, is_quiet, "")


def test_words_of_another_program_are_its_own(call: Call) -> None:
    assert "'--detach' does not take a value" in call("run", "--detach=perhaps", "web")[2]
    assert "does not take a value" not in call("exec", "web", "ls", "--detach=false")[2]
