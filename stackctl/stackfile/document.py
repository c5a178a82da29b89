"""Document: a whole stack in canonical form, and its JSON form on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from stackctl.diagnostics import SourceRange
from stackctl.model.path import Path
from stackctl.stackfile.node import Json, Mark
from stackctl.wire.wire_error import WireError

_MAX_DEPTH = 100
_TEXTS = ("name", "working_dir")
_TEXT_LISTS = ("config_files", "profiles", "disabled_services", "environment_files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A stack as Compose's ``config --format json`` shows it, with long forms, absolute paths and no ``$$``.

    ``tree`` holds the services that are switched on and what they use; ``disabled_services`` are the others.
    ``config_files`` are absolute. ``positions`` maps paths of the tree to where they were written, files
    named as the user typed them. ``contents`` holds configs and secrets under ``config/KEY`` and
    ``secret/KEY``; it never travels with the tree and is not shown.
    """

    tree: dict[str, Json]
    positions: Mapping[Path, SourceRange]
    name: str
    working_dir: str = ""
    config_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    disabled_services: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def without_contents(self) -> Document:
        """Return the document as it may travel and be stored."""
        return replace(self, contents=MappingProxyType({}))


class DocumentPlaces:
    """Places by a document's table of positions (see ``schema.Places``)."""

    def __init__(self, positions: Mapping[Path, SourceRange]) -> None:
        self._positions = positions

    def of_value(self, path: Path) -> Mark:
        """Return where ``path``, or the nearest thing around it, was written; line 0 when unknown."""
        for end in range(len(path), 0, -1):
            found = self._positions.get(path[:end])
            if found is not None:
                return Mark(found.file, found.line, found.column, found.end_column)
        return Mark("", 0)

    def of_key(self, path: Path) -> Mark:
        """As ``of_value``: the table holds one place for each path."""
        return self.of_value(path)


def document_to_wire(document: Document) -> dict[str, Any]:
    """Return the JSON form, with positions and without contents."""
    files: dict[str, int] = {}
    positions = _positions_to_wire(document.tree, (), document.positions, files)
    wire: dict[str, Any] = {name: getattr(document, name) for name in _TEXTS}
    wire |= {name: list(getattr(document, name)) for name in _TEXT_LISTS}
    return {**wire, "tree": document.tree, "files": list(files), "positions": positions}


def document_from_wire(json: object) -> Document:
    """Return the document that ``json`` stands for. Raises WireError when it has another shape.

    The tree itself is only known to be JSON: ``decode`` checks it.
    """
    if not isinstance(json, dict):
        raise WireError("a document must be an object")
    unknown = set(json) - {*_TEXTS, *_TEXT_LISTS, "tree", "files", "positions"}
    if unknown:
        raise WireError(f"a document has no {sorted(map(str, unknown))}")
    tree = json.get("tree")
    if not isinstance(tree, dict):
        raise WireError("tree must be an object")
    _check_depth(tree, 0)
    files = _text_list(json, "files")
    positions: dict[Path, SourceRange] = {}
    _positions_from_wire(json.get("positions"), (), files, positions)
    return Document(
        tree=tree,
        positions=MappingProxyType(positions),
        name=_text(json, "name"),
        working_dir=_text(json, "working_dir"),
        config_files=_text_list(json, "config_files"),
        profiles=_text_list(json, "profiles"),
        disabled_services=_text_list(json, "disabled_services"),
        environment_files=_text_list(json, "environment_files"),
    )


def _text(json: dict[str, Any], key: str) -> str:
    value = json.get(key, "")
    if not isinstance(value, str):
        raise WireError(f"{key} must be a string")
    return value


def _text_list(json: dict[str, Any], key: str) -> tuple[str, ...]:
    value = json.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise WireError(f"{key} must be a list of strings")
    return tuple(value)


def _check_depth(value: object, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise WireError(f"tree is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise WireError("tree has a key that is no string")
            _check_depth(entry, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)


def _positions_to_wire(value: Json, path: Path, positions: Mapping[Path, SourceRange], files: dict[str, int]) -> Any:
    """Mirror the tree: each node is ``place``, or ``[place, children]``; a place is 0 when unknown."""
    found = positions.get(path)
    place: Any = 0
    if found is not None:
        number = files.setdefault(found.file, len(files))
        place = [number, found.line, found.column, found.end_column]
    if isinstance(value, dict):
        inner = {key: _positions_to_wire(entry, (*path, key), positions, files) for key, entry in value.items()}
        return [place, inner]
    if isinstance(value, list):
        items = [_positions_to_wire(item, (*path, at), positions, files) for at, item in enumerate(value)]
        return [place, items]
    return place


def _positions_from_wire(json: object, path: Path, files: tuple[str, ...], positions: dict[Path, SourceRange]) -> None:
    """Read what is well formed; the rest is only explanation, and is passed over."""
    if not isinstance(json, list) or len(path) > _MAX_DEPTH:
        return
    place = _place(json if len(json) == 4 else json[0] if len(json) == 2 else None, files)
    if place is not None:
        positions[path] = place
    children = json[1] if len(json) == 2 else None
    if isinstance(children, dict):
        for key, child in children.items():
            _positions_from_wire(child, (*path, str(key)), files, positions)
    elif isinstance(children, list):
        for at, child in enumerate(children):
            _positions_from_wire(child, (*path, at), files, positions)


def _place(json: object, files: tuple[str, ...]) -> SourceRange | None:
    if not isinstance(json, list) or len(json) != 4 or not all(type(part) is int for part in json):
        return None
    number, line, column, end_column = json
    if not 0 <= number < len(files) or min(line, column) < 1 or end_column < column:
        return None
    return SourceRange(files[number], line, column, end_column)
