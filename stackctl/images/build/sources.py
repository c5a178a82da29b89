"""What the sources of a COPY or ADD are: wildcards matched, the context never left, every file with its digest.

Source: Dockerfile reference, "COPY" and "ADD"; Go, path/filepath.Match.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from stackctl.errors import ImageError
from stackctl.images.build.view import Found, View
from stackctl.images.dockerfile.path_pattern import path_regex

_WILD: Final = re.compile(r"(?<!\\)[*?\[]")
_PIECE: Final = 1 << 20


class Source(NamedTuple):
    """One thing to copy: its path in the view, the name it has if it goes into a folder, and what it is."""

    path: str
    name: str
    found: Found


class Entry(NamedTuple):
    """Something below a source's folder, by its path relative to it; "" for the source itself."""

    path: str
    found: Found


IsLeftOut = Callable[[str], bool]


def find_sources(view: View, pattern: str) -> list[Source]:
    """Return what a source as written stands for; nothing for wildcards that match nothing.

    A link is followed. Raises ImageError for a plain path that is not there; OSError.
    """
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if not _WILD.search(pattern):
        plain = "/".join(_unescaped(part) for part in parts)
        return [_source(view, plain)]
    return [_source(view, path) for path in _matches(view, "", parts)]


def _source(view: View, path: str) -> Source:
    real = view.resolve(path)
    found = view.find(real)
    if found is None:
        raise ImageError(f"/{path}: not found", code="copy-source-missing")
    return Source(real, path.rpartition("/")[2], found)


def _matches(view: View, folder: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if not _WILD.search(part):
        names = [_unescaped(part)]
    else:
        real = view.resolve(folder)
        names = [name for name in view.names(real) if _pattern(part).fullmatch(name)]
    for name in names:
        path = f"{folder}/{name}" if folder else name
        found = view.find(view.resolve(path))
        if found is None:
            continue
        if not rest:
            yield path
        elif found.is_folder:
            yield from _matches(view, path, rest)


def _unescaped(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)


@lru_cache(maxsize=256)
def _pattern(part: str) -> re.Pattern[str]:
    """Return the pattern of Go's filepath.Match for one name."""
    try:
        return path_regex(re.sub(r"(\\.)|\*+", lambda found: found[1] or "*", part))
    except ValueError as error:
        raise ImageError(f"{part!r} is no pattern: {error}", code="copy-pattern") from error


def entries(view: View, source: Source, is_left_out: IsLeftOut = lambda _: False) -> Iterator[Entry]:
    """Yield a source and what is below it, folders first. ``is_left_out`` takes a path relative to the source."""
    yield Entry("", source.found)
    if not source.found.is_folder:
        return
    for path, found in view.walk(source.path):
        if not is_left_out(path):
            yield Entry(path, found)


def facts_of_entry(entry: Entry, *, with_owner: bool) -> list[object]:
    """Return what of an entry makes a copy of it another one: times do not, nor the owner in a context."""
    status = entry.found.status
    kind = stat.S_IFMT(status.st_mode)
    facts: list[object] = [entry.path, stat.S_IMODE(status.st_mode) | kind]
    if kind == stat.S_IFLNK:
        facts[1] = kind
        facts.append(os.readlink(entry.found.where))
    elif kind == stat.S_IFREG:
        facts.append(_digest(entry.found.where))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts.append(status.st_rdev)
    if with_owner:
        facts += [status.st_uid, status.st_gid]
    return facts


def _digest(path: str) -> str:
    hasher = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while piece := os.read(fd, _PIECE):
            hasher.update(piece)
    finally:
        os.close(fd)
    return hasher.hexdigest()
