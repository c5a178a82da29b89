"""Nodes: values as they stand in the text, each with the place where it was written.

Nodes never change. A node may stand at several places of a tree (a YAML alias), so a tree is to be walked,
never marked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from stackctl.diagnostics import SourceRange
from stackctl.model.path import Path

Atom: TypeAlias = str | int | float | bool | None
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


class Mark(NamedTuple):
    """A stretch of one line; same meaning as SourceRange, but cheap to make."""

    file: str
    line: int
    column: int = 1
    end_column: int = 1

    def range(self) -> SourceRange:
        """Return the place in the form diagnostics use."""
        return SourceRange(self.file, self.line, self.column, self.end_column)


class Scalar(NamedTuple):
    """A single value. ``tag`` is ``!reset``, ``!override`` or empty."""

    value: Atom
    mark: Mark
    tag: str = ""


class Sequence(NamedTuple):
    """A list."""

    items: tuple[Node, ...]
    mark: Mark
    tag: str = ""


class Mapping(NamedTuple):
    """A mapping, in the order written; ``keys`` says where each key stands."""

    entries: dict[str, Node]
    keys: dict[str, Mark]
    mark: Mark
    tag: str = ""


Node: TypeAlias = Scalar | Sequence | Mapping


def plain(node: Node) -> Json:
    """Return the bare value of ``node``."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry) for key, entry in node.entries.items()}


def from_plain(value: Json, mark: Mark) -> Node:
    """Return ``value`` as a node written, all of it, at ``mark``."""
    if isinstance(value, list):
        return Sequence(tuple(from_plain(item, mark) for item in value), mark)
    if isinstance(value, dict):
        return mapping({key: from_plain(entry, mark) for key, entry in value.items()}, mark)
    return Scalar(value, mark)


def mapping(entries: dict[str, Node], mark: Mark) -> Mapping:
    """Return a mapping whose keys stand where their values do."""
    return Mapping(entries, {key: entry.mark for key, entry in entries.items()}, mark)


def with_entries(node: Mapping, entries: dict[str, Node]) -> Mapping:
    """Return ``node`` with other entries; a key it did not have stands where its value does."""
    keys = {key: node.keys.get(key, entry.mark) for key, entry in entries.items()}
    return Mapping(entries, keys, node.mark, node.tag)


def with_entry(node: Mapping, key: str, entry: Node) -> Mapping:
    """Return ``node`` with one entry added or replaced."""
    return with_entries(node, {**node.entries, key: entry})


def without(node: Mapping, keys: Iterable[str]) -> Mapping:
    """Return ``node`` without the entries of these keys."""
    gone = set(keys)
    if not gone & node.entries.keys():
        return node
    return with_entries(node, {key: entry for key, entry in node.entries.items() if key not in gone})


def is_null(node: Node | None) -> bool:
    """Say whether ``node`` is absent or null."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def child_mapping(node: Node | None, key: str) -> Mapping | None:
    """Return the mapping under ``key``, or None when there is none of that shape."""
    if not isinstance(node, Mapping):
        return None
    entry = node.entries.get(key)
    return entry if isinstance(entry, Mapping) else None


def text_of(node: Node | None) -> str | None:
    """Return the string ``node`` holds, or None for anything else."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    return None


def kind_of(node: Node) -> str:
    """Say in plain words what ``node`` is: ``a list``, ``a number``, ``nothing`` …"""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    return kind_of_value(node.value)


def kind_of_value(value: object) -> str:
    """As ``kind_of``, for a bare value."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else "a string"


def positions(node: Node) -> dict[Path, SourceRange]:
    """Map each path of the tree to where it was written: a single value itself, anything else its key."""
    found: dict[Path, SourceRange] = {}
    _collect(node, node.mark, (), found)
    return found


def _collect(node: Node, key_mark: Mark, path: Path, found: dict[Path, SourceRange]) -> None:
    mark = node.mark if isinstance(node, Scalar) else key_mark
    if mark.line:
        found[path] = mark.range()
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _collect(item, item.mark, (*path, index), found)
    elif isinstance(node, Mapping):
        for key, entry in node.entries.items():
            _collect(entry, node.keys[key], (*path, key), found)
