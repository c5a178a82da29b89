"""Splitting an instruction's text into words, before any variable is expanded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BLANKS: Final = re.compile(r"[\t\v\f\r ]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands in its logical line."""

    text: str
    start: int
    end: int


def plain_words(text: str, start: int = 0) -> list[Word]:
    """Split at blanks; quotes mean nothing. ``start`` is the offset of what is to be split."""
    return [Word(found[0], found.start(), found.end()) for found in re.compile(r"\S+").finditer(text, start)]


def quoted_words(text: str, start: int, *, escape: str) -> list[Word]:
    """Split at blanks that are neither quoted nor escaped; quotes and escapes stay in the words.

    A quote that is not closed goes on to the end.
    """
    words: list[Word] = []
    at = start
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = _end_of_word(text, at, escape)
        words.append(Word(text[at:end], at, end))
        at = end
    return words


def _end_of_word(text: str, at: int, escape: str) -> int:
    quote = ""
    while at < len(text):
        char = text[at]
        if char == escape and quote != "'":
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            return at
        at += 1
    return len(text)


def flags(text: str, start: int) -> tuple[list[Word], int]:
    """Return the words ``--name[=value]`` that ``text[start:]`` begins with, unquoted, and where the rest begins.

    A lone ``--`` ends them. A backslash escapes whatever the file's escape character is.
    """
    found: list[Word] = []
    at = start
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return found, at
        begin = at
        word, at = unquoted_word(text, at)
        if word == "--":
            while at < len(text) and text[at].isspace():
                at += 1
            return found, at
        found.append(Word(word, begin, at))


def unquoted_word(text: str, at: int) -> tuple[str, int]:
    """Return the word at ``at`` without its quotes and escaping backslashes, and where it ends."""
    word: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\":
            word.append(text[at + 1 : at + 2])
            at += 2
            continue
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char.isspace():
            break
        else:
            word.append(char)
        at += 1
    return "".join(word), min(at, len(text))
