"""The grammar of ``.env`` and ``env_file`` files."""

from __future__ import annotations

import re
from contextlib import suppress

from stackctl.stackfile.interpolate import Fault, Lookup, expand
from stackctl.stackfile.node import Mark
from stackctl.stackfile.problems import Problems

_SPACES = " \t\v\f\r\x85\xa0"
_ESCAPE = re.compile(r"\\(0[0-7]{0,3}|.)", re.DOTALL)
_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "$": "$$",
}
_SUMMARY = "Invalid environment file"


class _Stop(Exception):
    pass


def read_dotenv(
    text: str, *, file: str, lookup: Lookup, problems: Problems, places: dict[str, Mark] | None = None
) -> dict[str, str]:
    """Return the variables of ``text``.

    A value may refer to ``lookup`` and, where that knows nothing, to earlier lines. A bare ``KEY`` takes its
    value from ``lookup`` and is left out when that has none. Where each stands is added to ``places``.
    """
    reader = _Reader(text.removeprefix("\ufeff"), file, lookup, problems)
    with suppress(_Stop):
        reader.run()
    if places is not None:
        places.update({name: reader.mark(offset, max(len(name), 1)) for name, offset in reader.offsets.items()})
    return reader.found


def read_raw(text: str, *, file: str, lookup: Lookup, problems: Problems) -> dict[str, str]:
    """Return the variables of a ``format: raw`` file: the rest of a line is the value, as it is."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.lstrip().partition("=")
        if not key or set(key) & set(" \t"):
            what = "has a space in the name of its variable" if key else "begins with `=`: it names no variable"
            problems.error(
                "env-file-syntax",
                _SUMMARY,
                Mark(file, number),
                detail=f"The line `{line.strip()}` {what}.",
                hint="in a raw file write `NAME=value`, without spaces around the `=` and without `export`",
            )
            continue
        inherited = lookup(key) if not equals else value
        if inherited is not None:
            found[key] = inherited
    return found


class _Reader:
    def __init__(self, text: str, file: str, lookup: Lookup, problems: Problems) -> None:
        self.found: dict[str, str] = {}
        self.offsets: dict[str, int] = {}
        self._text = text
        self._at = 0
        self._file = file
        self._lookup = lookup
        self._problems = problems

    def run(self) -> None:
        while self._skip_to_statement():
            key = self._key()
            if key is not None:
                self.found[key] = self._value()

    def _skip_to_statement(self) -> bool:
        text = self._text
        while self._at < len(text):
            if text[self._at] == "#":
                self._at = self._end_of_line()
            elif text[self._at] == "\n" or text[self._at] in _SPACES:
                self._at += 1
            else:
                return True
        return False

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _key(self) -> str | None:
        """Read up to ``=`` or ``:``; a bare key is settled here and gives None."""
        end = self._end_of_line()
        line = self._text[self._at : end]
        if re.match(r"export[ \t]+", line):
            skipped = len(line) - len(line[6:].lstrip(_SPACES))
            self._at += skipped
            line = line[skipped:]
        match = re.match(r"[\w.\-\[\]" + _SPACES + r"]*", line)
        key = match[0] if match is not None else ""
        follows = line[len(key) : len(key) + 1]
        name = key.strip(_SPACES)
        is_comment = follows == "#" and key.endswith(" ")
        if (follows not in ("=", ":", "") and not is_comment) or any(space in name for space in _SPACES):
            self._fail_key(name, follows, len(key))
        self.offsets[name] = self._at
        if not name and follows in ("=", ":"):
            self._warn_about_no_name(follows)
        if follows in ("", "#"):
            self._at = end
            inherited = self._lookup(name) if name else None
            if inherited is not None:
                self.found[name] = inherited
            return None
        self._at += len(key) + 1
        return name

    def _warn_about_no_name(self, follows: str) -> None:
        self._problems.warning(
            "env-file-syntax",
            _SUMMARY,
            self.mark(self._at, 1),
            detail=f"No name stands before `{follows}` here, so the variable has none.",
            hint="write `NAME=value`, or `#` before the line",
        )

    def _fail_key(self, name: str, follows: str, width: int) -> None:
        mark = self.mark(self._at, max(width, 1))
        if not name:
            self._fail(mark, "A variable name is expected here.", "write `NAME=value`")
        if any(space in name for space in _SPACES):
            self._fail(mark, f"The variable name `{name}` contains a space.", "write `NAME=value`")
        self._fail(
            self.mark(self._at + width, 1),
            f"`{follows}` cannot be part of a variable name.",
            "write `NAME=value`",
        )

    def _value(self) -> str:
        text = self._text
        while self._at < len(text) and text[self._at] in _SPACES:
            self._at += 1
        quote = text[self._at : self._at + 1]
        if quote in ("'", '"'):
            return self._quoted(quote)
        start, end = self._at, self._end_of_line()
        self._at = end
        value = text[start:end]
        comment = re.search(r"(?:^|(?<= ))#", value)
        if comment is not None:
            value = value[: comment.start()]
        return self._expand(value.rstrip(_SPACES), start)

    def _quoted(self, quote: str) -> str:
        start = self._at
        end = start + 1
        while True:
            if end >= len(self._text):
                self._fail(self.mark(start, 1), "The quoted value that starts here never ends.", "close the quote")
            if self._text[end] == "\\":
                end += 2
                continue
            if self._text[end] == quote:
                break
            end += 1
        self._at = end + 1
        inner = self._text[start + 1 : end]
        if quote == "'":
            return inner.replace("\\'", "'")
        return self._expand(_ESCAPE.sub(_unescape, inner), start)

    def _expand(self, value: str, at: int) -> str:
        if "$" not in value:
            return value
        faults: list[Fault] = []
        result = expand(value, self._look, faults=faults)
        for fault in faults:
            self._report(fault, at)
        return result

    def _look(self, name: str) -> str | None:
        value = self._lookup(name)
        return self.found.get(name) if value is None else value

    def _report(self, fault: Fault, at: int) -> None:
        mark = self.mark(at, 1)
        if fault.kind == "unset":
            self._problems.warning(
                "unset-variable",
                "Variable is not set",
                mark,
                detail=f"`{fault.name}` is not set; an empty string is used instead.",
                hint="put the value in single quotes if the dollar sign is meant literally",
            )
            return
        said = f"`{fault.name}` must be set: {fault.message}" if fault.kind == "required" else fault.message
        self._problems.error(
            "missing-variable" if fault.kind == "required" else "bad-interpolation",
            "Required variable is not set" if fault.kind == "required" else "Invalid variable expression",
            mark,
            detail=said if fault.kind == "required" else f"This `${{…}}` cannot be read: {said}.",
        )

    def mark(self, offset: int, width: int) -> Mark:
        """Return the place of ``width`` characters at an offset."""
        line = self._text.count("\n", 0, offset) + 1
        column = offset - (self._text.rfind("\n", 0, offset) + 1) + 1
        return Mark(self._file, line, column, column + width)

    def _fail(self, mark: Mark, detail: str, hint: str) -> None:
        self._problems.error("env-file-syntax", _SUMMARY, mark, detail=detail, hint=hint)
        raise _Stop


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "0" and len(code) > 1:
        return chr(int(code, 8))
    return _ESCAPES.get(code, match[0])
