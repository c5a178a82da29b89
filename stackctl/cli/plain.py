"""Plain command lines, without click: known options before and after a command that is declared."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from stackctl.cli.commands import COMMANDS
from stackctl.cli.declared import Command
from stackctl.cli.ending import INTERRUPTED, forget_output, show
from stackctl.cli.failure import Failure
from stackctl.cli.settings import Settings, choose_ansi, choose_engine, choose_progress, use

DECLARED: Final = frozenset(
    {"config", "create", "down", "exec", "kill", "logs", "plan", "restart", "run", "scale", "start", "stop", "up"}
)
_ONCE: Final = {
    "-p": "project_name",
    "--project-name": "project_name",
    "--project-directory": "project_directory",
    "--progress": "progress",
    "--ansi": "ansi",
    "--engine": "engine",
}
_OFTEN: Final = {"-f": "files", "--file": "files", "--profile": "profiles", "--env-file": "env_files"}


def find(arguments: Sequence[str]) -> tuple[dict[str, Any], Command, dict[str, Any]] | None:
    """Return the options before the command, the command, and what it is given; None unless all is plain."""
    before: dict[str, Any] = {}
    at = 0
    while at < len(arguments) and arguments[at] not in DECLARED:
        word = arguments[at]
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not equals:
            at += 1
            value = arguments[at] if at < len(arguments) else ""
        if not value or value.startswith("-"):
            return None
        if name in _ONCE:
            before[_ONCE[name]] = value
        elif name in _OFTEN:
            before[_OFTEN[name]] = (*before.get(_OFTEN[name], ()), value)
        else:
            return None
        at += 1
    if at == len(arguments):
        return None
    entry = COMMANDS[arguments[at]]
    command = getattr(import_module(f"stackctl.cli.{entry.module}"), entry.attribute)
    assert isinstance(command, Command)
    given = command.plain(arguments[at + 1 :])
    return None if given is None else (before, command, given)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Run a plain command and return its exit status; None, having done nothing, when it is not plain."""
    found = find(arguments)
    if found is None:
        return None
    before, command, given = found
    settings = None
    try:
        variables = dict(environment)
        progress = choose_progress(before.pop("progress", None), variables)
        ansi = choose_ansi(before.pop("ansi", None), variables)
        engine = choose_engine(before.pop("engine", None), variables)
        settings = use(
            Settings(
                **before,
                progress=progress,
                ansi=ansi,
                engine=engine,
                environment=variables,
                cwd=os.getcwd(),
                arguments=tuple(arguments),
            )
        )
        command.function(**given)
    except Failure as failure:
        return failure.exit_status
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        forget_output()
        return 1
    except Exception as error:  # the edge: nobody above knows how to show it
        return show(error, settings)
    return 0
