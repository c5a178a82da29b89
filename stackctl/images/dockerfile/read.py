"""Statements → instructions, but for those that copy files (``read_files``) or run commands (``read_commands``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from stackctl.images.dockerfile.instruction import (
    Arg,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from stackctl.images.dockerfile.read_commands import (
    read_cmd,
    read_entrypoint,
    read_healthcheck,
    read_run,
    read_shell,
)
from stackctl.images.dockerfile.read_files import read_add, read_copy
from stackctl.images.dockerfile.statement import Flags, Statement
from stackctl.images.dockerfile.words import BLANKS, Word, plain_words, quoted_words

Reader: TypeAlias = Callable[[Statement], Instruction]
_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")
_NO_TRIGGERS: Final = ("ONBUILD", "FROM", "MAINTAINER")


def read_from(statement: Statement) -> From:
    flags = Flags(statement, {"platform": "text"})
    words = plain_words(statement.line.text, statement.at)
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].text.upper() != "AS"):
        raise statement.wrong(
            "FROM takes an image, or an image and a name.",
            source=statement.range(words[1]) if len(words) > 1 else None,
            hint="write `FROM IMAGE` or `FROM IMAGE AS NAME`",
        )
    name = None
    if len(words) == 3:
        name = words[2].text.lower()
        if not _STAGE_NAME.fullmatch(name):
            raise statement.wrong(
                f"`{words[2].text}` cannot be a stage's name.",
                source=statement.range(words[2]),
                hint="it begins with a letter; letters, digits, `-`, `_` and `.` follow",
            )
    return From(statement.place, statement.original, words[0].text, name, flags.text("platform"))


def read_env(statement: Statement) -> Env:
    return Env(statement.place, statement.original, _pairs(statement))


def read_label(statement: Statement) -> Label:
    return Label(statement.place, statement.original, _pairs(statement))


def _pairs(statement: Statement) -> tuple[tuple[str, str], ...]:
    Flags(statement, {})
    words = quoted_words(statement.line.text, statement.at, escape=statement.escape)
    if not words:
        raise statement.wrong(f"{statement.name} needs a name and a value.", hint="write `NAME=VALUE`")
    if "=" not in words[0].text:
        parts = BLANKS.split(statement.rest, maxsplit=1)
        if len(parts) < 2:
            raise statement.wrong(
                f"`{parts[0]}` has no value.", source=statement.range(words[0]), hint=f"write `{parts[0]}=VALUE`"
            )
        return ((parts[0], parts[1]),)
    return tuple(_pair(statement, word) for word in words)


def _pair(statement: Statement, word: Word) -> tuple[str, str]:
    name, equals, value = word.text.partition("=")
    if not equals:
        raise statement.wrong(
            f"`{word.text}` is not of the form `NAME=VALUE`.",
            source=statement.range(word),
            hint="quote a value that has blanks",
        )
    if not name:
        raise statement.wrong("The name before `=` is missing.", source=statement.range(word))
    return name, value


def read_arg(statement: Statement) -> Arg:
    Flags(statement, {})
    words = quoted_words(statement.line.text, statement.at, escape=statement.escape)
    if not words:
        raise statement.wrong("ARG needs a name.", hint="write `ARG NAME` or `ARG NAME=DEFAULT`")
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        if "=" in word.text:
            pairs.append(_pair(statement, word))
        else:
            pairs.append((word.text, None))
    return Arg(statement.place, statement.original, tuple(pairs))


def read_workdir(statement: Statement) -> Workdir:
    return Workdir(statement.place, statement.original, _one(statement, "a path"))


def read_user(statement: Statement) -> User:
    return User(statement.place, statement.original, _one(statement, "a user"))


def read_stop_signal(statement: Statement) -> StopSignal:
    return StopSignal(statement.place, statement.original, _one(statement, "a signal"))


def read_maintainer(statement: Statement) -> Maintainer:
    return Maintainer(statement.place, statement.original, _one(statement, "a name"))


def _one(statement: Statement, what: str) -> str:
    Flags(statement, {})
    if not statement.rest:
        raise statement.wrong(f"{statement.name} needs {what}.")
    return statement.rest


def read_expose(statement: Statement) -> Expose:
    return Expose(statement.place, statement.original, _some(statement, "a port"))


def read_volume(statement: Statement) -> Volume:
    paths = statement.json_array()
    if paths is None:
        paths = _some(statement, "a path")
    if not paths:
        raise statement.wrong("VOLUME needs a path.")
    if not all(path.strip() for path in paths):
        raise statement.wrong("A volume's path cannot be empty.")
    return Volume(statement.place, statement.original, paths)


def _some(statement: Statement, what: str) -> tuple[str, ...]:
    Flags(statement, {})
    words = plain_words(statement.line.text, statement.at)
    if not words:
        raise statement.wrong(f"{statement.name} needs {what}.")
    return tuple(word.text for word in words)


def read_onbuild(statement: Statement) -> OnBuild:
    """Read an ONBUILD whose trigger has been read already."""
    Flags(statement, {})
    words = plain_words(statement.line.text, statement.at)
    if not words:
        raise statement.wrong("ONBUILD needs an instruction.")
    if words[0].text.upper() in _NO_TRIGGERS:
        raise statement.wrong(
            f"{words[0].text.upper()} cannot be a trigger of ONBUILD.", source=statement.range(words[0])
        )
    lines = (statement.rest, *(heredoc.content + heredoc.name for heredoc in statement.heredocs))
    return OnBuild(statement.place, statement.original, "\n".join(lines))


READERS: Final[dict[str, Reader]] = {
    "ADD": read_add,
    "ARG": read_arg,
    "CMD": read_cmd,
    "COPY": read_copy,
    "ENTRYPOINT": read_entrypoint,
    "ENV": read_env,
    "EXPOSE": read_expose,
    "FROM": read_from,
    "HEALTHCHECK": read_healthcheck,
    "LABEL": read_label,
    "MAINTAINER": read_maintainer,
    "ONBUILD": read_onbuild,
    "RUN": read_run,
    "SHELL": read_shell,
    "STOPSIGNAL": read_stop_signal,
    "USER": read_user,
    "VOLUME": read_volume,
    "WORKDIR": read_workdir,
}
