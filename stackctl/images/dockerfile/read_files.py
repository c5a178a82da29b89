"""``COPY`` and ``ADD``."""

from __future__ import annotations

import re
from typing import Final

from stackctl.images.dockerfile.instruction import Add, Copy, Heredoc
from stackctl.images.dockerfile.statement import FlagKind, Flags, Statement, as_heredoc
from stackctl.images.dockerfile.words import plain_words

_COPY_FLAGS: Final[dict[str, FlagKind]] = {
    "from": "text",
    "chown": "text",
    "chmod": "text",
    "link": "switch",
    "parents": "switch",
    "exclude": "many",
}
_ADD_FLAGS: Final[dict[str, FlagKind]] = {
    "chown": "text",
    "chmod": "text",
    "link": "switch",
    "exclude": "many",
    "checksum": "text",
    "unpack": "switch",
    "keep-git-dir": "switch",
}
_OCTAL: Final = re.compile(r"0?o?[0-7]{1,4}")
_SYMBOLIC: Final = re.compile(r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*")


def read_copy(statement: Statement) -> Copy:
    flags = Flags(statement, _COPY_FLAGS)
    sources, heredocs, destination = _sources(statement)
    _check_mode(flags)
    return Copy(
        statement.place,
        statement.original,
        sources,
        destination,
        heredocs,
        source_stage=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        parents=bool(flags.switch("parents")),
        excludes=flags.texts("exclude"),
    )


def read_add(statement: Statement) -> Add:
    flags = Flags(statement, _ADD_FLAGS)
    sources, heredocs, destination = _sources(statement)
    _check_mode(flags)
    return Add(
        statement.place,
        statement.original,
        sources,
        destination,
        heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        excludes=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        unpack=flags.switch("unpack"),
        keep_git_dir=flags.switch("keep-git-dir"),
    )


def _sources(statement: Statement) -> tuple[tuple[str, ...], tuple[Heredoc, ...], str]:
    words = statement.json_array()
    is_json = words is not None
    if words is None:
        words = tuple(word.text for word in plain_words(statement.line.text, statement.at))
    if len(words) < 2:
        raise statement.wrong(f"{statement.name} needs at least one source and a destination.")
    *sources, destination = words
    if is_json:
        return tuple(sources), (), destination
    if as_heredoc(destination):
        raise statement.wrong("A heredoc cannot be the destination.", source=statement.line.find(destination))
    return tuple(source for source in sources if not as_heredoc(source)), statement.heredocs, destination


def _check_mode(flags: Flags) -> None:
    mode = flags.text("chmod")
    if mode and "$" not in mode and not _OCTAL.fullmatch(mode) and not _SYMBOLIC.fullmatch(mode):
        raise flags.wrong("chmod", f"`{mode}` is no mode.", hint="write it like 0644 or like u=rwX,go=rX")
