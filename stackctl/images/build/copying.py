"""COPY and ADD: from a view into the new layer, as BuildKit does it.

Source: Dockerfile reference, "COPY" and "ADD".
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from stackctl.errors import ImageError
from stackctl.images.build.sources import Entry, IsLeftOut, Source, entries, facts_of_entry
from stackctl.images.build.view import Found, View
from stackctl.images.build.writing import LayerWriter, Owner

_SYMBOLIC: Final = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_ROOT: Final = Owner(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRules:
    """How things are copied: ``owner`` None keeps the sources' own, ``mode`` is ``--chmod``, "" for none."""

    owner: Owner | None = _ROOT
    mode: str = ""
    with_attributes: bool = False
    follows_folders: bool = False
    is_left_out: IsLeftOut = lambda _: False


@dataclass(frozen=True, slots=True)
class Text:
    """A file that stands in the Dockerfile itself."""

    name: str
    content: bytes


def copy_facts(view: View, sources: Iterable[Source], rules: CopyRules) -> list[object]:
    """Return what decides what a copy of the sources comes to: equal lists, equal copies. Raises OSError."""
    found: list[object] = []
    for source in sources:
        # Of a folder the content is copied: its own name and mode come to nothing.
        listed = [
            facts_of_entry(entry, with_owner=rules.owner is None)
            for entry in entries(view, source, rules.is_left_out)
            if entry.path or not source.found.is_folder
        ]
        found.append([source.name if not source.found.is_folder else "", listed])
    return found


class Copier:
    """Copies into the stage whose present state is ``stage``.

    ``destination`` is an absolute path, ``/`` at its end meaning that it is a folder.
    """

    def __init__(self, stage: View, writer: LayerWriter, destination: str, rules: CopyRules) -> None:
        self._stage = stage
        self._writer = writer
        self._rules = rules
        self._is_folder = destination.endswith(("/", "/."))
        self._target = stage.resolve(destination)

    def copy(self, view: View, sources: Sequence[Source], texts: Sequence[Text] = ()) -> None:
        """Copy all of it. Raises ImageError for what cannot be; OSError."""
        into = self._is_folder or self._folder_at(self._target) is not None
        if len(sources) + len(texts) > 1 and not into:
            raise ImageError(
                "several sources are copied, and the destination is no folder",
                code="copy-destination",
                hint="let the destination end with a /",
            )
        for text in texts:
            self._text(text, into=into)
        for source in sources:
            self._writer.begin_source()
            if source.found.is_folder:
                self._folder(view, source)
            else:
                self._leaf(source, into=into)

    def _text(self, text: Text, *, into: bool) -> None:
        path = f"{self._target}/{text.name}".lstrip("/") if into else self._target
        self._refuse_folder(path)
        owner = self._rules.owner or _ROOT
        self._writer.make_parents(path, owner)
        self._writer.put_text(path, text.content, owner, _mode(self._rules.mode, 0o644, is_folder=False))

    def _leaf(self, source: Source, *, into: bool) -> None:
        path = self._target
        if into:
            path = self._stage.resolve(f"{path}/{source.name}")
        self._refuse_folder(path)
        self._writer.make_parents(path, self._rules.owner or _ROOT)
        self._put(path, source.found)

    def _folder(self, view: View, source: Source) -> None:
        there = self._stage.find(self._target)
        if there is not None and not there.is_folder:
            raise ImageError(f"cannot copy to non-directory: /{self._target}", code="copy-destination")
        for entry in entries(view, source, self._rules.is_left_out):
            self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        if not entry.path:
            # Docker copies what is in the folder: a new destination has nothing of it but its time.
            if self._target:
                self._writer.make_folder(self._target, self._rules.owner or _ROOT)
                if self._stage.find(self._target) is None:
                    self._writer.date_folder(self._target, entry.found.status.st_mtime_ns)
            return
        path = f"{self._target}/{entry.path}".lstrip("/")
        if self._rules.follows_folders:
            path = self._stage.resolve(path, follow_last=entry.found.is_folder)
            self._writer.make_parents(path, _ROOT)
        there = self._stage.find(path)
        if not entry.found.is_folder:
            self._refuse_folder(path)
            self._put(path, entry.found)
            return
        if there is not None and not there.is_folder:
            raise ImageError(f"cannot copy to non-directory: /{path}", code="copy-destination")
        self._put_folder(path, entry.found)

    def _put(self, path: str, found: Found) -> None:
        mode = stat.S_IMODE(found.status.st_mode)
        if not found.is_link:
            mode = _mode(self._rules.mode, mode, is_folder=False)
        self._writer.put(path, found, self._owner(found), mode, with_attributes=self._rules.with_attributes)

    def _put_folder(self, path: str, found: Found) -> None:
        mode = _mode(self._rules.mode, stat.S_IMODE(found.status.st_mode), is_folder=True)
        self._writer.put_folder(path, found, self._owner(found), mode, with_attributes=self._rules.with_attributes)

    def _owner(self, found: Found) -> Owner:
        return self._rules.owner or Owner(found.status.st_uid, found.status.st_gid)

    def _folder_at(self, path: str) -> Found | None:
        found = self._stage.find(path)
        return found if found is not None and found.is_folder else None

    def _refuse_folder(self, path: str) -> None:
        if self._folder_at(path) is not None:
            raise ImageError(f"cannot replace the directory /{path} with a file", code="copy-destination")


def _mode(wanted: str, mode: int, *, is_folder: bool) -> int:
    """Return ``mode`` as ``--chmod`` has it: an octal number for all, or changes as chmod(1) has them."""
    if not wanted:
        return mode
    if wanted.isdigit():
        return int(wanted, 8) & 0o7777
    for clause in wanted.split(","):
        match = _SYMBOLIC.fullmatch(clause)
        if match is None:
            raise ImageError(f"invalid --chmod {wanted!r}", code="copy-chmod", hint="such as 755 or u=rwX,go=rX")
        mode = _changed(mode, *match.groups(), is_folder=is_folder)
    return mode


def _changed(mode: int, who: str, how: str, what: str, *, is_folder: bool) -> int:
    everyone = not who or "a" in who
    shifts = [shift for letter, shift in (("u", 6), ("g", 3), ("o", 0)) if everyone or letter in who]
    bits = ("r" in what) * 4 | ("w" in what) * 2 | ("x" in what) * 1
    if "X" in what and (is_folder or mode & 0o111):
        bits |= 1
    change = sum(bits << shift for shift in shifts)
    mask = sum(7 << shift for shift in shifts)
    if "s" in what:
        change |= (0o4000 if 6 in shifts else 0) | (0o2000 if 3 in shifts else 0)
    if "t" in what:
        change |= 0o1000
    if how == "+":
        return mode | change
    return mode & ~change if how == "-" else (mode & ~mask) | change


def check_mode(wanted: str) -> None:
    """Raise ImageError for a ``--chmod`` that means nothing."""
    if wanted.isdigit() and (set(wanted) & set("89") or len(wanted) > 4):
        raise ImageError(f"invalid --chmod {wanted!r}", code="copy-chmod", hint="such as 755 or u=rwX,go=rX")
    _mode(wanted, 0, is_folder=False)
