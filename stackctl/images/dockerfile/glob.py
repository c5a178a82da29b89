"""Shell patterns with ``*`` and ``?`` alone, as ``${name#pattern}`` has them.

Positions are kept as bits of one integer, so that no pattern takes more than its length times that of the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Token: TypeAlias = tuple[str, Literal["", "?", "*"]]


class BadPattern(ValueError):
    """The pattern ends in, or contains, an escape that means nothing."""


@dataclass(frozen=True, slots=True)
class Glob:
    """``tokens`` are ("", "?") for any character, ("", "*") for any text, and (c, "") for c."""

    tokens: tuple[Token, ...]

    def ends(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Return the first and last position at which a match that begins at ``start`` can end, or None."""
        return _ends(self.tokens, text[start:], start)

    def starts(self, text: str) -> tuple[int, int] | None:
        """Return the last and first position at which a match that ends with ``text`` can begin, or None."""
        found = _ends(self.tokens[::-1], text[::-1], 0)
        return (len(text) - found[0], len(text) - found[1]) if found is not None else None

    def replace(self, text: str, replacement: str, *, all_of_them: bool) -> str:
        """Return ``text`` with the first, or every, longest match that is not empty replaced."""
        parts: list[str] = []
        at = 0
        while at < len(text):
            found = self.ends(text, at)
            if found is None or found[1] == at:
                parts.append(text[at])
                at += 1
                continue
            parts.append(replacement)
            at = found[1]
            if not all_of_them:
                break
        parts.append(text[at:])
        return "".join(parts)


def read_glob(pattern: str) -> Glob:
    """Read a pattern. A backslash escapes ``*``, ``?``, itself, ``}`` and ``/``. Raises BadPattern for others."""
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            char = pattern[at : at + 1]
            if not char or char not in "*?\\}/":
                raise BadPattern(f"`\\{char}` means nothing in a pattern")
            tokens.append((char, ""))
        elif char == "*":
            tokens.append(("", "*"))
        elif char == "?":
            tokens.append(("", "?"))
        else:
            tokens.append((char, ""))
        at += 1
    return Glob(tuple(tokens))


def _ends(tokens: tuple[Token, ...], text: str, offset: int) -> tuple[int, int] | None:
    full = (1 << (len(text) + 1)) - 1
    masks: dict[str, int] = {}
    state = 1
    for char, wild in tokens:
        if wild == "*":
            state = full & -(state & -state)
        elif wild == "?":
            state = (state << 1) & full
        else:
            if char not in masks:
                masks[char] = int("".join("1" if c == char else "0" for c in reversed(text)) or "0", 2)
            state = (state & masks[char]) << 1
        if not state:
            return None
    return offset + (state & -state).bit_length() - 1, offset + state.bit_length() - 1
