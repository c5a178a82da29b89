"""Settings: the options before the command, and the environment, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

import click

from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic

Progress = Literal["auto", "tty", "plain", "json", "quiet"]
Ansi = Literal["never", "always", "auto"]
PROGRESS: Final[tuple[Progress, ...]] = get_args(Progress)
ANSI: Final[tuple[Ansi, ...]] = get_args(Ansi)
_TRUE: Final = ("1", "t", "true", "y", "yes", "on")


@dataclass(slots=True)
class Consulted:
    """Files with the digests of what was read from them, "" once two readings differ; what else was looked for.

    ``has_findings`` says that there was something to warn of.
    """

    digests: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    has_findings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for every command. "" and empty tuples mean: not given.

    ``lines`` collects the text of stack files that were read, by (file, line), for errors to quote;
    ``told`` the warnings that were shown, ``warned`` their text; ``typed_in`` holds standard input once it was read.
    ``arguments`` are the whole command's; ``consulted`` is what its stack was made from.
    """

    files: tuple[str, ...] = ()
    project_name: str = ""
    project_directory: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    progress: Progress = "auto"
    ansi: Ansi = "auto"
    has_all_resources: bool = False
    is_pull_quiet: bool = False
    environment: Mapping[str, str]
    cwd: str
    arguments: tuple[str, ...] = ()
    lines: dict[tuple[str, int], str] = field(default_factory=dict, compare=False, repr=False)
    typed_in: list[str] = field(default_factory=list, compare=False, repr=False)
    told: set[Diagnostic] = field(default_factory=set, compare=False, repr=False)
    warned: list[str] = field(default_factory=list, compare=False, repr=False)
    consulted: Consulted = field(default_factory=lambda: Consulted(), compare=False, repr=False)

    def is_set(self, variable: str) -> bool:
        """Return whether an environment variable says yes."""
        return self.environment.get(variable, "").lower() in _TRUE

    def has_colour(self, *, is_terminal: bool) -> bool:
        """Return whether to colour what goes to a stream."""
        if self.ansi == "auto":
            return is_terminal and not self.environment.get("NO_COLOR")
        return self.ansi == "always"


def choose_progress(given: str | None, environment: Mapping[str, str]) -> Progress:
    """Return the progress mode of ``--progress``, else COMPOSE_PROGRESS. Raises UsageError."""
    text = given or environment.get("COMPOSE_PROGRESS") or "auto"
    if text not in PROGRESS:
        raise UsageError(f'unsupported --progress value "{text}"', hint=f"use one of {', '.join(PROGRESS)}")
    return text


def choose_ansi(given: str | None, environment: Mapping[str, str]) -> Ansi:
    """Return the mode of ``--ansi``, else COMPOSE_ANSI. Raises UsageError."""
    text = given or environment.get("COMPOSE_ANSI") or "auto"
    if text not in ANSI:
        raise UsageError(f'unsupported --ansi value "{text}"', hint=f"use one of {', '.join(ANSI)}")
    return text


def current_settings() -> Settings:
    """Return the settings of the command that runs."""
    found = click.get_current_context().find_object(Settings)
    assert found is not None
    return found
