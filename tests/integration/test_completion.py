"""Completion, by the shells themselves: somebody presses Tab, and what appears is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.cli.complete import Word, complete
from tests.support.terminal import Terminal

BIN = Path(sys.executable).parent
STACK = """\
services:
  website: {image: web:1}
  database: {image: db:1}
  extra: {image: e:1, profiles: [more]}
"""
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(stackctl completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source <(stackctl completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "stackctl completion fish | source"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a stack file, and one below it with another."""
    (tmp_path / "compose.yaml").write_text(STACK)
    (tmp_path / "other.yaml").write_text("services: {other: {image: o}}\n")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{BIN}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "STACKCTL_ROOT": str(folder / "root"), "LANG": "C.UTF-8", "TERM": "dumb"}


def words(folder: Path, *typed: str) -> list[str]:
    found = complete(typed, environment(folder), cwd=str(folder))
    return [word.text for word in found.words] if found.kind == "words" else [f"({found.kind})"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("sca", ["scale"]),
        ("engine un", ["uninstall"]),
        ("up --no-st", ["--no-start"]),
        ("up --detach web", ["website"]),
        ("up --pull ", ["always", "missing", "never"]),
        ("up --pull=mis", ["--pull=missing"]),
        ("up --pull = mis", ["missing"]),
        ("up --exit-code-from d", ["database"]),
        ("up --wait-timeout 3 d", ["database"]),
        ("up database w", ["website"]),
        ("logs ", ["website", "database", "extra"]),
        ("-f other.yaml logs ", ["other"]),
        ("--file=other.yaml logs ", ["other"]),
        ("--profile more logs e", ["extra"]),
        ("-f ", ["(files)"]),
        ("--project-directory ", ["(folders)"]),
        ("scale d", ["database="]),
        ("up --scale ", ["website=", "database=", "extra="]),
        ("exec -u root w", ["website"]),
        ("exec website l", ["(files)"]),
        ("attach website ", []),
        ("completion ", ["bash", "zsh", "fish"]),
        ("no-such-command ", ["(files)"]),
        ("--ansi n", ["never"]),
        ("logs -- d", ["database"]),
    ],
)
def test_what_may_come_is_offered(folder: Path, typed: str, expected: list[str]) -> None:
    assert words(folder, *typed.split(" ")) == expected
    assert not (folder / "root").exists(), "it has made an engine"


def test_words_come_with_what_they_mean(folder: Path) -> None:
    found = complete(["logs", "w"], environment(folder), cwd=str(folder))
    assert found.words == (Word("website", "web:1"),)
    found = complete(["ps", "--qui"], environment(folder), cwd=str(folder))
    assert found.words[0].help


def test_a_broken_stack_file_is_no_reason_to_complain(folder: Path) -> None:
    (folder / "compose.yaml").write_text("services: [\n")
    argv = [str(BIN / "stackctl"), "__complete", "logs", ""]
    done = subprocess.run(argv, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "words\n", "")


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_the_shell_completes_what_is_typed(folder: Path, shell: str) -> None:
    argv, setup = SHELLS[shell]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{shell} is not here")
    with Terminal(argv, env=environment(folder), cwd=folder, columns=200) as terminal:
        terminal.type(f"{setup}; echo re''ady\r")
        terminal.read_until("ready")
        # What was completed is run: only the right words have this output.
        terminal.type("stackctl conf\t--serv\t\r")
        terminal.read_until("website")
        terminal.type("stackctl config --hash datab\t\r")
        terminal.read_until(lambda shown: re.search(r"database [0-9a-f]{64}", shown))
