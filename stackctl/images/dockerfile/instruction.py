"""What a Dockerfile says, as values: words are raw, variables in them are not expanded yet.

Every instruction has ``line``, the place of its first line, and ``original``, its text as one logical line
(continuations joined, comments within dropped), the way histories show it.
Source: Dockerfile reference, https://docs.docker.com/reference/dockerfile/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from stackctl.diagnostics import Diagnostic, SourceRange


@dataclass(frozen=True, slots=True)
class ShellForm:
    """A command that the stage's shell runs."""

    text: str


@dataclass(frozen=True, slots=True)
class ExecForm:
    """A command given as a JSON array."""

    argv: tuple[str, ...]


Command: TypeAlias = ShellForm | ExecForm


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A text that stands below its instruction.

    ``content`` is as written; ``expands`` is false for a quoted name.
    """

    name: str
    content: str
    expands: bool = True
    strips_tabs: bool = False

    @property
    def text(self) -> str:
        """The content, without its leading tabs where ``<<-`` asks for that."""
        if not self.strips_tabs:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


@dataclass(frozen=True, slots=True)
class _Written:
    line: SourceRange
    original: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class From(_Written):
    """``FROM``: ``image`` is a reference, ``scratch`` or a stage's name; ``name`` is in lower case."""

    image: str
    name: str | None = None
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Run(_Written):
    """``RUN``. ``mounts`` are the raw values of ``--mount``, for ``mounts.read_mount`` after expansion.

    ``heredocs`` belong to a shell form: the command's text mentions them, and with ``is_script`` nothing else. The
    builder expands nothing in either.
    """

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = ""
    security: str = ""
    is_script: bool = False

    @property
    def script(self) -> Heredoc | None:
        """The heredoc that is all there is to run; a first line ``#!`` makes it a file to execute."""
        return self.heredocs[0] if self.is_script else None

    @property
    def shell_text(self) -> str:
        """What the stage's shell is given for a shell form, heredocs included."""
        if isinstance(self.command, ExecForm):
            return ""
        if self.script is not None:
            return self.script.text
        return "\n".join((self.command.text, *(heredoc.content + heredoc.name for heredoc in self.heredocs)))


@dataclass(frozen=True, slots=True)
class Cmd(_Written):
    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(_Written):
    command: Command


@dataclass(frozen=True, slots=True)
class Copy(_Written):
    """``COPY``: from the context, or from ``source_stage`` (a stage's name or number, or an image)."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    source_stage: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Add(_Written):
    """``ADD``. ``unpack`` and ``keep_git_dir`` are None where nothing is said."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None
    keep_git_dir: bool | None = None


@dataclass(frozen=True, slots=True)
class Env(_Written):
    """``ENV``: all pairs of one instruction see the environment before it."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Arg(_Written):
    """``ARG``: a value of None is an argument without default; each sees those before it."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Label(_Written):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Workdir(_Written):
    path: str


@dataclass(frozen=True, slots=True)
class User(_Written):
    user: str


@dataclass(frozen=True, slots=True)
class Expose(_Written):
    """``EXPOSE``: a word may be several ports once it is expanded."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume(_Written):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shell(_Written):
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthcheck(_Written):
    """``HEALTHCHECK``: ``command`` is None for ``NONE``. A time or number of 0 means the image's or the default."""

    command: Command | None
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class StopSignal(_Written):
    signal: str


@dataclass(frozen=True, slots=True)
class OnBuild(_Written):
    """``ONBUILD``: ``trigger`` is the text an image keeps, ``parse_triggers`` reads it again."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Maintainer(_Written):
    name: str


Instruction: TypeAlias = (
    From
    | Run
    | Cmd
    | Entrypoint
    | Copy
    | Add
    | Env
    | Arg
    | Label
    | Workdir
    | User
    | Expose
    | Volume
    | Shell
    | Healthcheck
    | StopSignal
    | OnBuild
    | Maintainer
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One ``FROM`` and what follows it; ``index`` counts from 0."""

    index: int
    name: str | None
    base: From
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. ``escape`` is a backslash or a backtick; ``global_args`` stand before the first ``FROM``."""

    escape: str
    stages: tuple[Stage, ...]
    global_args: tuple[Arg, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    def stage(self, name: str) -> Stage | None:
        """Return the stage of that name (the last of them, in any case) or number, or None."""
        for stage in reversed(self.stages):
            if stage.name is not None and stage.name == name.lower():
                return stage
        if name.isascii() and name.isdigit() and int(name) < len(self.stages):
            return self.stages[int(name)]
        return None
