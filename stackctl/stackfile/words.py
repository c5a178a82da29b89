"""Splitting a command line into words as Compose does: quotes and backslashes, but no shell."""

from __future__ import annotations

from typing import NamedTuple

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Words(NamedTuple):
    """The words, and the shell operator that ended them early ("" if none did)."""

    words: tuple[str, ...]
    stopped_at: str = ""


def split_words(line: str) -> Words | None:
    """Return the words of ``line``, or None when a quote, bracket or escape is left open.

    Compose reads up to the first of ``; & | < >`` outside of quotes and drops the rest.
    """
    reader = _Reader()
    for char in line:
        if char in ";&|<>" and reader.is_bare:
            return Words(reader.finish(), char)
        if char in "()" and reader.is_bare and not reader.opens_substitution(char):
            return None
        reader.take(char)
    return Words(reader.finish()) if reader.is_bare else None


class _Reader:
    def __init__(self) -> None:
        self._words: list[str] = []
        self._word: list[str] | None = None
        self._is_escaped = False
        self._closer = ""
        """The quote, bracket or backquote that ends what we are inside of."""

    @property
    def is_bare(self) -> bool:
        """Outside of quotes, substitutions and escapes."""
        return not self._is_escaped and not self._closer

    def opens_substitution(self, char: str) -> bool:
        """Say whether ``char`` makes a ``$(``."""
        return char == "(" and self._word is not None and self._word[-1:] == ["$"]

    def take(self, char: str) -> None:
        if self._is_escaped:
            self._append(_ESCAPES.get(char, char) if self._closer in ("", '"') else char)
            self._is_escaped = False
        elif char == "\\" and self._closer != "'":
            self._append("")
            self._is_escaped = True
        elif self._closer:
            self._inside(char)
        elif char in " \t\r\n":
            self.finish()
        else:
            self._outside(char)

    def _inside(self, char: str) -> None:
        is_end = char == self._closer
        if not is_end or self._closer in ")`":
            self._append(char)
        if is_end:
            self._closer = ""

    def _outside(self, char: str) -> None:
        if char in "'\"`(":
            self._closer = ")" if char == "(" else char
        self._append("" if char in "'\"" else char)

    def _append(self, text: str) -> None:
        if self._word is None:
            self._word = []
        if text:
            self._word.append(text)

    def finish(self) -> tuple[str, ...]:
        """End the current word; return all of them."""
        if self._word is not None:
            self._words.append("".join(self._word))
        self._word = None
        return tuple(self._words)
