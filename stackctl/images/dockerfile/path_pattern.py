"""Patterns of paths as .dockerignore has them: those of Go's filepath.Match, and ``**``.

``**`` stands for any number of folders, its slash included, and at the end for anything. A pattern that is ``**`` and
plain text means all paths that end in the text. Each ``*`` and ``**/`` but the last settles for the nearest match of
what follows it: if that one leads to no match of the whole, none does, and matching never backtracks far.
Source: measured; moby/patternmatcher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_CLASS: Final = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL)
_STAR: Final = "*"
_FOLDERS: Final = "**/"
_ANYTHING: Final = "**"


class _Piece(NamedTuple):
    """One of ``*``, ``**/`` and, at the end, ``**``; or the ``regex`` of one character."""

    wild: str
    regex: str = ""


def path_regex(pattern: str, *, covers_below: bool = False) -> re.Pattern[str]:
    """Return what matches the paths that ``pattern`` means, and what is below them if ``covers_below``.

    Raises ValueError, saying why, for what is no pattern.
    """
    text = _suffix(pattern) or _translated(list(_pieces(pattern)))
    return re.compile(text + ("(?:/.*)?" if covers_below else ""), re.DOTALL)


def _suffix(pattern: str) -> str:
    text = pattern.removeprefix("**")
    if text == pattern or not text or re.search(r"[*?\[\\]", text) or text.startswith("/"):
        return ""
    return ".*" + re.escape(text)


def _translated(pieces: list[_Piece]) -> str:
    parts: list[list[_Piece]] = [[]]
    at_name = True  # whether a new name begins here
    is_regular = True
    for piece in pieces:
        if piece.wild in (_FOLDERS, _ANYTHING):
            is_regular = is_regular and (at_name or piece.wild == _ANYTHING)
            parts.append([])
        else:
            parts[-1].append(piece)
        at_name = piece.regex == "/" or piece.wild == _FOLDERS
    if not is_regular:  # `a**b`: folders in the middle of a name
        plain = {_STAR: "[^/]*", _FOLDERS: "(?:.*/)?", _ANYTHING: ".*"}
        return "".join(plain.get(piece.wild, piece.regex) for piece in pieces)
    is_open = bool(pieces) and pieces[-1].wild == _ANYTHING
    last = len(parts) - 1 - is_open
    text = [_part(parts[0], is_end=last == 0 and not is_open)]
    for at, part in enumerate(parts[1 : last + 1], 1):
        found = _part(part, is_end=at == last and not is_open)
        text.append(f"(?:.*/)?{found}" if at == last else f"(?>(?:.*?/)??{found})")
    return "".join(text) + (".*" if is_open else "")


def _part(pieces: list[_Piece], *, is_end: bool) -> str:
    """Return the regex of what stands between two ``**``."""
    text: list[str] = []
    segment: list[_Piece] = []
    for piece in pieces:
        if piece.regex == "/":
            text.append(_segment(segment, is_closed=True) + "/")
            segment = []
        else:
            segment.append(piece)
    text.append(_segment(segment, is_closed=is_end))
    return "".join(text)


def _segment(pieces: list[_Piece], *, is_closed: bool) -> str:
    """Return the regex of what stands between two ``/``; ``is_closed`` if nothing can follow in the same name."""
    runs = [""]
    for piece in pieces:
        if piece.wild:
            runs.append("")
        else:
            runs[-1] += piece.regex
    text = [runs[0]]
    for at, run in enumerate(runs[1:], 2):
        text.append(f"[^/]*{run}" if at == len(runs) and is_closed else f"(?>[^/]*?{run})")
    return "".join(text)


def _pieces(pattern: str) -> Iterator[_Piece]:
    at = 0
    while at < len(pattern):
        piece, at = _piece(pattern, at)
        yield piece


def _piece(pattern: str, at: int) -> tuple[_Piece, int]:
    char = pattern[at]
    if char == "*":
        end = at + len(pattern[at:]) - len(pattern[at:].lstrip("*"))
        if end - at == 1:
            return _Piece(_STAR), end
        end += pattern.startswith("/", end)
        return _Piece(_ANYTHING if end == len(pattern) else _FOLDERS), end
    if char == "?":
        return _Piece("", "[^/]"), at + 1
    if char == "[":
        found = _CLASS.match(pattern, at)
        if found is None:
            raise ValueError("a `[` is not closed")
        return _Piece("", _class(found)), found.end()
    if char == "\\":
        if at + 1 == len(pattern):
            raise ValueError("it ends in a backslash")
        return _Piece("", re.escape(pattern[at + 1])), at + 2
    return _Piece("", re.escape(char)), at + 1


def _class(found: re.Match[str]) -> str:
    body = re.sub(r"\\(.)|([\[&~|^])", lambda match: "\\" + (match[1] or match[2]), found[2], flags=re.DOTALL)
    try:
        re.compile(f"[{body}]")
    except re.error as error:
        raise ValueError(f"`{found[0]}` is no set of characters") from error
    return f"(?!/)[{'^' if found[1] else ''}{body}]"
