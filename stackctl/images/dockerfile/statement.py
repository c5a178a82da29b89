"""One instruction while it is read: its name, flags and rest, with places for what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NoReturn, TypeAlias

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.images.dockerfile.faults import did_you_mean
from stackctl.images.dockerfile.instruction import Command, ExecForm, Heredoc, ShellForm
from stackctl.images.dockerfile.lines import LogicalLine
from stackctl.images.dockerfile.words import Word, quoted_words, unquoted_word

FlagKind: TypeAlias = Literal["text", "many", "switch", "later"]
HEREDOC: Final = re.compile(r"(\d*)<<(-?)([^<]+)")


class Wrong(Exception):
    """The instruction cannot be read; holds why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.detail)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class Statement:
    """``name`` in upper case, the ``flags`` behind it, ``rest`` from offset ``at`` of the line, without blanks around.

    ``start`` is the offset of the name. ``heredocs`` are those whose names stand in ``rest``, in order.
    """

    line: LogicalLine
    name: str
    flags: tuple[Word, ...]
    at: int
    escape: str
    start: int = 0
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def rest(self) -> str:
        return self.line.text[self.at :].strip()

    @property
    def place(self) -> SourceRange:
        """The place of the instruction's name."""
        return self.line.range(self.start, self.start + len(self.name))

    @property
    def original(self) -> str:
        return self.line.text.strip()

    def range(self, word: Word) -> SourceRange:
        return self.line.range(word.start, word.end)

    def wrong(self, detail: str, *, source: SourceRange | None = None, hint: str = "") -> Wrong:
        """Return what to raise for an instruction of a wrong form."""
        return Wrong(
            Diagnostic(
                severity="error",
                code="dockerfile-instruction",
                summary="Instruction cannot be read",
                detail=detail,
                hint=hint,
                sources=(source or self.place,),
            )
        )

    def unsupported(self, detail: str, *, source: SourceRange | None = None, hint: str = "") -> Wrong:
        """Return what to raise for what other builders can do."""
        wrong = self.wrong(detail, source=source, hint=hint).diagnostic
        return Wrong(replace(wrong, code="dockerfile-unsupported", summary="Not supported yet"))

    def command(self) -> Command:
        """Return the rest as a command: the exec form if it is a JSON array, else the shell form."""
        argv = self.json_array()
        return ShellForm(self.rest) if argv is None else ExecForm(argv)

    def json_array(self) -> tuple[str, ...] | None:
        """Return the rest as a JSON array of texts; None if it is no JSON array. Raises Wrong for other elements."""
        return json_texts(self, self.rest)


def json_texts(statement: Statement, text: str) -> tuple[str, ...] | None:
    """Return ``text`` read as a JSON array of texts, None if it is none. Raises Wrong for an array of other things."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in found):
        raise statement.wrong(
            "An array of words holds texts alone.",
            source=statement.line.find(text),
            hint="put double quotes around each element",
        )
    return tuple(found)


class Flags:
    """An instruction's flags, checked against those it may have. Raises Wrong."""

    def __init__(self, statement: Statement, known: Mapping[str, FlagKind]) -> None:
        self._values: dict[str, list[str]] = {}
        self._statement = statement
        self._words: dict[str, Word] = {}
        for word in statement.flags:
            name, equals, value = word.text[2:].partition("=")
            self._check(word, name, known, has_value=bool(equals))
            if known[name] == "switch" and not equals:
                value = "true"
            self._values.setdefault(name, []).append(value)
            self._words[name] = word

    def text(self, name: str) -> str:
        return self._values.get(name, [""])[-1]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """Return what the flag says, None if it is not given."""
        value = self._values.get(name, [None])[-1]
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise self.wrong(name, f"`--{name}` is either true or false.")
        return value.lower() == "true"

    def wrong(self, name: str, detail: str, *, hint: str = "") -> Wrong:
        """Return what to raise for the value of the flag ``name``."""
        return self._statement.wrong(detail, source=self._statement.range(self._words[name]), hint=hint)

    def _check(self, word: Word, name: str, known: Mapping[str, FlagKind], *, has_value: bool) -> None:
        statement = self._statement
        kind = known.get(name)
        if kind is None:
            self._unknown(word, name, known)
        if kind == "later":
            raise statement.unsupported(
                f"`{statement.name} --{name}` is not supported yet.", source=statement.range(word)
            )
        if kind in ("text", "many") and not has_value:
            raise statement.wrong(f"`--{name}` needs a value: `--{name}=…`.", source=statement.range(word))
        if kind != "many" and name in self._values:
            raise statement.wrong(f"`--{name}` is given twice.", source=statement.range(word))

    def _unknown(self, word: Word, name: str, known: Mapping[str, FlagKind]) -> NoReturn:
        statement = self._statement
        near = did_you_mean(f"--{name}", [f"--{flag}" for flag in known])
        names = ", ".join(f"--{flag}" for flag in known)
        raise statement.wrong(
            f"{statement.name} has no flag `--{name}`.",
            source=statement.range(word),
            hint=near or (f"it has {names}" if names else "it has none"),
        )


def heredoc_names(text: str, *, escape: str) -> list[Heredoc]:
    """Return the heredocs that ``text`` announces, with empty contents."""
    found: list[Heredoc] = []
    for word in quoted_words(text, 0, escape=escape):
        if heredoc := as_heredoc(word.text):
            found.append(heredoc)
    return found


def as_heredoc(word: str) -> Heredoc | None:
    """Return the heredoc that ``word`` announces, if it does."""
    match = HEREDOC.fullmatch(word)
    if match is None:
        return None
    name, end = unquoted_word(match[3], 0)
    if not name or end != len(match[3]):
        return None
    return Heredoc(name, "", expands=name == match[3], strips_tabs=bool(match[2]))
