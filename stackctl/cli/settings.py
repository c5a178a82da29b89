"""Settings: the options before the command, and the environment, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, Literal, get_args

from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic

Progress = Literal["auto", "tty", "plain", "json", "quiet"]
Ansi = Literal["never", "always", "auto"]
PROGRESS: Final[tuple[Progress, ...]] = get_args(Progress)
ANSI: Final[tuple[Ansi, ...]] = get_args(Ansi)
BUILT_IN: Final = ("", "built-in")
_TRUE: Final = ("1", "t", "true", "y", "yes", "on")


class Consulted:
    """Files with the digests of what was read from them, "" once two readings differ; what else was looked for.

    ``has_findings`` says that there was something to warn of.
    """

    __slots__ = ("absent", "digests", "found", "has_findings", "variables")

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.found: set[str] = set()
        self.absent: set[str] = set()
        self.variables: set[str] = set()
        self.has_findings = False


class Settings:
    """What holds for every command. "" and empty tuples mean: not given. Not to be changed, but for what collects.

    ``lines`` collects the text of stack files that were read, by (file, line), for errors to quote;
    ``told`` the warnings that were shown, ``warned`` their text; ``typed_in`` holds standard input once it was read.
    ``engine`` is where another engine than the built-in one is. ``arguments`` are the whole command's; ``consulted``
    is what its stack was made from.

    No dataclass: the module of that name costs 9 ms, more than the rest of what `exec` imports of ours.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        cwd: str,
        files: tuple[str, ...] = (),
        project_name: str = "",
        project_directory: str = "",
        profiles: tuple[str, ...] = (),
        env_files: tuple[str, ...] = (),
        progress: Progress = "auto",
        ansi: Ansi = "auto",
        has_all_resources: bool = False,
        is_pull_quiet: bool = False,
        engine: str = "",
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.environment: Final = environment
        self.cwd: Final = cwd
        self.files: Final = files
        self.project_name: Final = project_name
        self.project_directory: Final = project_directory
        self.profiles: Final = profiles
        self.env_files: Final = env_files
        self.progress: Progress = progress
        self.ansi: Final = ansi
        self.has_all_resources: Final = has_all_resources
        self.is_pull_quiet: bool = is_pull_quiet
        self.is_build_quiet: bool = False
        self.engine: Final = "" if engine in BUILT_IN else engine
        self.arguments: Final = arguments
        self.lines: Final[dict[tuple[str, int], str]] = {}
        self.typed_in: Final[list[str]] = []
        self.told: Final[set[Diagnostic]] = set()
        self.warned: Final[list[str]] = []
        self.consulted: Final = Consulted()

    def with_progress(self, progress: Progress) -> Settings:
        """Return the same settings with another way to show progress; both collect in one place."""
        found = copy(self)
        found.progress = progress
        return found

    def with_quiet_pulls(self) -> Settings:
        """Return the same settings without progress of pulls; both collect in one place."""
        found = copy(self)
        found.is_pull_quiet = True
        return found

    def with_quiet_builds(self) -> Settings:
        """Return the same settings without progress of builds; both collect in one place."""
        found = copy(self)
        found.is_build_quiet = True
        return found

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


def choose_engine(given: str | None, environment: Mapping[str, str]) -> str:
    """Return what ``--engine`` says, else STACKCTL_ENGINE."""
    return environment.get("STACKCTL_ENGINE", "") if given is None else given


def choose_ansi(given: str | None, environment: Mapping[str, str]) -> Ansi:
    """Return the mode of ``--ansi``, else COMPOSE_ANSI. Raises UsageError."""
    text = given or environment.get("COMPOSE_ANSI") or "auto"
    if text not in ANSI:
        raise UsageError(f'unsupported --ansi value "{text}"', hint=f"use one of {', '.join(ANSI)}")
    return text


_current: Final[list[Settings]] = []


def use(settings: Settings) -> Settings:
    """Make these the settings of the command that runs, and return them."""
    _current[:] = [settings]
    return settings


def current_settings() -> Settings:
    """Return the settings of the command that runs."""
    return _current[0]
