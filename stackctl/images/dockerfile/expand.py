"""Variables and quotes in words: ``$name``, ``${name}`` with its operators, ``'…'``, ``"…"``, escapes.

The language is the builder's own, not a shell's: there is no substitution of commands and no ``${name:1:3}``.
Source: Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.dockerfile.glob import BadPattern, read_glob

_MAX_DEPTH: Final = 50
_MAX_LENGTH: Final = 4 * 1024 * 1024
_SPECIAL: Final = "@*#?-$!"


class ExpansionError(ImageError):
    """A word cannot be expanded."""

    code = "dockerfile-expansion"


def expand(word: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """Return ``word`` with its variables replaced and its quotes and escapes taken away.

    A variable that is not in ``variables`` is empty. Raises ExpansionError.
    """
    return _Expansion(word, variables, escape).word()


def split_words(text: str, variables: Mapping[str, str], *, escape: str = "\\") -> tuple[str, ...]:
    """Expand ``text`` and split it at blanks that are not quoted, those of the variables' values included."""
    expansion = _Expansion(text, variables, escape)
    expansion.word()
    return expansion.words()


def expand_text(text: str, variables: Mapping[str, str], *, escape: str = "\\") -> str:
    """Return ``text``, a heredoc's, with its variables replaced; quotes mean nothing in it."""
    return _Expansion(text, variables, escape, has_quotes=False).word()


class _Expansion:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str, *, has_quotes: bool = True) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._has_quotes = has_quotes
        self._at = 0
        self._depth = 0
        self._pieces: list[tuple[str, bool]] = []

    def word(self) -> str:
        """Expand all; call once."""
        pieces = self._until("", raw=False)
        self._pieces = pieces
        return "".join(text for text, _ in pieces)

    def words(self) -> tuple[str, ...]:
        """Return what ``word`` gave, split."""
        found: list[str] = []
        current = ""
        for text, is_literal in self._pieces:
            if is_literal:
                current += text
                continue
            for char in text:
                if not char.isspace():
                    current += char
                elif current:
                    found.append(current)
                    current = ""
        return (*found, current) if current else tuple(found)

    def _until(self, stop: str, *, raw: bool) -> list[tuple[str, bool]]:
        """Expand up to ``stop`` and step over it; the pieces are (text, whether blanks in it are text)."""
        pieces: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if stop and char == stop:
                self._at += 1
                return pieces
            if char == "$":
                pieces.append((self._dollar(), False))
            elif char == "'" and self._has_quotes:
                pieces.append((self._single(), True))
            elif char == '"' and self._has_quotes:
                pieces.append((self._double(raw=raw), True))
            elif char == self._escape:
                following = self._text[self._at + 1 : self._at + 2]
                pieces.append(((char if raw else "") + following, True))
                self._at += 2
            else:
                pieces.append((char, False))
                self._at += 1
        if stop:
            raise self._error(f"the closing `{stop}` is missing")
        return pieces

    def _joined(self, stop: str, *, raw: bool) -> str:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("variables are nested too deeply")
        text = "".join(text for text, _ in self._until(stop, raw=raw))
        self._depth -= 1
        return text

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self._error("a single quote is not closed")
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double(self, *, raw: bool) -> str:
        self._at += 1
        parts: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return "".join(parts)
            if char == "$":
                parts.append(self._dollar())
                continue
            self._at += 1
            if char == self._escape:
                following = self._text[self._at : self._at + 1]
                if raw:
                    parts.append(char)
                if following and following in ('"', "$", self._escape):
                    char = following
                    self._at += 1
            parts.append(char)
        raise self._error("a double quote is not closed")

    def _dollar(self) -> str:
        self._at += 1
        if not self._text.startswith("{", self._at):
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        following = self._text[self._at : self._at + 1]
        if following and following in "{}:":
            raise self._error("`${` is followed by no name")
        name = self._name()
        operator = self._text[self._at : self._at + 1]
        self._at += 1
        if operator == "}":
            return self._variables.get(name, "")
        if operator == "/":
            return self._replaced(name)
        is_colon = operator == ":"
        if is_colon:
            operator = self._text[self._at : self._at + 1]
            self._at += 1
        if not operator:
            raise self._error("the closing `}` is missing")
        if operator not in "-+?#%" or (is_colon and operator in "#%"):
            raise self._error(f"`{':' if is_colon else ''}{operator}` cannot follow the name in `${{{name}…}}`")
        argument = self._joined("}", raw=operator in "#%")
        return self._checked(self._operation(name, operator, argument, is_colon=is_colon))

    def _operation(self, name: str, operator: str, argument: str, *, is_colon: bool) -> str:
        value = self._variables.get(name)
        is_missing = value is None or (is_colon and not value)
        match operator:
            case "-":
                return argument if is_missing or value is None else value
            case "+":
                return "" if is_missing else argument
            case "?":
                if is_missing or value is None:
                    raise self._error(f"`{name}`: {argument or ('must be set' + ' and not empty' * is_colon)}")
                return value
            case _:
                return self._trimmed(value or "", operator, argument)

    def _trimmed(self, value: str, operator: str, pattern: str) -> str:
        is_longest = pattern.startswith(operator)
        try:
            glob = read_glob(pattern.removeprefix(operator))
        except BadPattern as error:
            raise self._error(str(error)) from error
        if operator == "#":
            found = glob.ends(value)
            return value[found[is_longest] :] if found is not None else value
        found = glob.starts(value)
        return value[: found[is_longest]] if found is not None else value

    def _replaced(self, name: str) -> str:
        is_all = self._text.startswith("/", self._at)
        self._at += is_all
        pattern = self._joined("/", raw=True)
        replacement = self._joined("}", raw=True)
        value = self._variables.get(name, "")
        try:
            return self._checked(read_glob(pattern).replace(value, replacement, all_of_them=is_all))
        except BadPattern as error:
            raise self._error(str(error)) from error

    def _name(self) -> str:
        start = self._at
        first = self._text[start : start + 1]
        if first and first in _SPECIAL:
            self._at += 1
            return first
        only_digits = first.isdigit()
        while self._at < len(self._text):
            char = self._text[self._at]
            if not (char.isdigit() or (not only_digits and (char.isalpha() or char == "_"))):
                break
            self._at += 1
        return self._text[start : self._at]

    def _checked(self, text: str) -> str:
        if len(text) > _MAX_LENGTH:
            raise self._error("the result is too long")
        return text

    def _error(self, what: str) -> ExpansionError:
        shown = self._text if len(self._text) < 100 else self._text[:99] + "…"
        return ExpansionError(f"cannot expand `{shown}`: {what}")
