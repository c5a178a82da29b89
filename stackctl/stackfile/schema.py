"""Checking a tree against the JSON Schema, and saying in plain words what does not fit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from stackctl.model.path import Path
from stackctl.stackfile.node import Json, Mapping, Mark, Node, Sequence, kind_of_value, plain
from stackctl.stackfile.problems import Problems, alternatives, did_you_mean, dotted, listing
from stackctl.stackfile.schema_quick import Accepts, compile_schema, is_type, referred

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_OTHER_WORDS = {
    "cmd": "command",
    "cpu": "cpus",
    "destination": "target",
    "dst": "target",
    "env": "environment",
    "mem": "mem_limit",
    "memory": "mem_limit",
    "name": "container_name",
    "net": "network_mode",
    "readonly": "read_only",
    "ro": "read_only",
    "src": "source",
    "workdir": "working_dir",
}
"""What keys are called elsewhere."""
_NAMES = {
    "string": "a string",
    "array": "a list",
    "object": "a mapping",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "null": "empty",
}


_Error: TypeAlias = Any
"""A jsonschema.exceptions.ValidationError; its fields are typed too loosely to be read otherwise."""


class Places(Protocol):
    """Knows where things were written."""

    def of_value(self, path: Path) -> Mark:
        """Return where the value at ``path`` stands."""

    def of_key(self, path: Path) -> Mark:
        """Return where the key that ends ``path`` stands."""


class NodePlaces:
    """Places in a tree of nodes."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def of_value(self, path: Path) -> Mark:
        """Return where the value at ``path``, or the nearest around it, stands."""
        return self._find(path)[0].mark

    def of_key(self, path: Path) -> Mark:
        """Return where the key that ends ``path`` stands."""
        return self._find(path)[1]

    def _find(self, path: Path) -> tuple[Node, Mark]:
        node, key_mark = self._root, self._root.mark
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
                key_mark = node.keys[part]
                node = node.entries[part]
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
                key_mark = node.mark
            else:
                break
        return node, key_mark


def check_node(root: Node, problems: Problems, *, is_partial: bool) -> bool:
    """Check a tree of nodes; see ``check_tree``."""
    return check_tree(plain(root), NodePlaces(root), problems, is_partial=is_partial)


def check_tree(tree: Json, places: Places, problems: Problems, *, is_partial: bool) -> bool:
    """Report everything in ``tree`` that does not fit the schema; return whether all of it does.

    A partial tree, one file of several, may lack required keys.
    """
    if _quick(with_required=not is_partial)(tree):
        return True
    # 112 ms: only to explain what the quick pass refused.
    explanation = _Explanation(places, problems, is_partial=is_partial)
    for error in _validator().iter_errors(tree):
        explanation.report(error)
    return False


@lru_cache(maxsize=1)
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema of stack files."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # In the wheel the schemas lie inside the package, in a checkout beside it.
    for folder in (package, os.path.dirname(package)):
        path = os.path.join(folder, "schemas", "stack.schema.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                schema: dict[str, Any] = json.load(file)
                return schema
    raise FileNotFoundError("stack.schema.json is not installed")


@lru_cache(maxsize=2)
def _quick(*, with_required: bool) -> Accepts:
    return compile_schema(load_schema(), with_required=with_required)


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema())


class _Explanation:
    def __init__(self, places: Places, problems: Problems, *, is_partial: bool) -> None:
        self._places = places
        self._problems = problems
        self._is_partial = is_partial

    def report(self, error: _Error) -> None:
        path: Path = tuple(error.absolute_path)
        match error.validator:
            case "additionalProperties":
                self._unknown_keys(error, path)
            case "anyOf":
                self._any_of(error, path)
            case "required":
                self._missing_keys(error, path)
            case "type":
                self._wrong_type(path, error.instance, _type_names(error.schema), error.schema.get("x-must-be", ""))
            case "pattern" if "propertyNames" in error.absolute_schema_path:
                self._bad_name(error, path)
            case _:
                self._bad_value(error, path)

    def _any_of(self, error: _Error, path: Path) -> None:
        branches = error.schema["anyOf"]
        fitting = [
            number
            for number, branch in enumerate(branches)
            if any(is_type(error.instance, name) for name in _type_names(branch))
        ]
        if not fitting:
            names = [name for branch in branches for name in _type_names(branch)]
            self._wrong_type(path, error.instance, names)
            return
        for inner in error.context or ():
            if inner.schema_path and inner.schema_path[0] == fitting[0]:
                self.report(inner)

    def _unknown_keys(self, error: _Error, path: Path) -> None:
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", ())
        for key in error.instance:
            if key in known or any(re.search(pattern, key) for pattern in patterns):
                continue
            self._problems.error(
                "unknown-key",
                "Unknown key",
                self._places.of_key((*path, key)),
                detail=f"{_owner(path)} has no key `{key}`.",
                hint=_unknown_key_hint(key, error.instance[key], path, known, has_own="^x-" in patterns),
            )

    def _missing_keys(self, error: _Error, path: Path) -> None:
        if self._is_partial:
            return
        for key in error.schema["required"]:
            if key not in error.instance:
                self._problems.error(
                    "missing-key",
                    "Required key is missing",
                    self._places.of_key(path),
                    detail=f"`{dotted(path)}` needs the key `{key}`{_meaning(error.schema, key)}.",
                )

    def _wrong_type(self, path: Path, value: object, names: list[str], must_be: str = "") -> None:
        wanted = must_be or alternatives(_NAMES[name] for name in names if name != "null")
        mark = self._places.of_value(path) if value is not None else self._places.of_key(path)
        self._problems.error(
            "wrong-type",
            "Wrong type of value",
            mark,
            detail=f"{_owner(path)} must be {wanted}, not {kind_of_value(value)}.",
            hint=_hint_at(path, value, wanted) or _type_hint(value, names),
        )

    def _bad_name(self, error: _Error, path: Path) -> None:
        self._problems.error(
            "bad-name",
            "Name not allowed",
            self._places.of_key((*path, error.instance)),
            detail=f"`{error.instance}` must be {error.schema['x-must-be']}.",
        )

    def _bad_value(self, error: _Error, path: Path) -> None:
        hint = ""
        match error.validator:
            case "enum":
                choices = error.schema["enum"]
                must_be = alternatives([f"`{choice}`" for choice in choices])
                if isinstance(error.instance, str):
                    hint = did_you_mean(error.instance, choices)
            case "minimum":
                must_be = f"at least {error.schema['minimum']}"
            case "maximum":
                must_be = f"at most {error.schema['maximum']}"
            case _:
                must_be = error.schema.get("x-must-be", f"of the form {error.schema.get('pattern', '')}")
                if isinstance(error.instance, str):
                    hint = did_you_mean(error.instance, re.findall("`([a-z_]+)`", must_be))
        self._problems.error(
            "bad-value",
            "Value not allowed",
            self._places.of_value(path),
            detail=f"`{dotted(path)}` must be {must_be}, not `{error.instance}`.",
            hint=hint,
        )


def _type_names(schema: dict[str, Any]) -> list[str]:
    """Return the types a schema allows, looking through references and alternatives."""
    return list(_each_type(schema))


def _each_type(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _each_type(referred(load_schema(), schema["$ref"]))
    for branch in schema.get("anyOf", ()):
        yield from _each_type(branch)
    if "enum" in schema:
        yield "string"
    if "type" in schema:
        names = schema["type"]
        yield from names if isinstance(names, list) else [names]


def _owner(path: Path) -> str:
    return f"`{dotted(path)}`" if path else "A stack file"


def _meaning(schema: dict[str, Any], key: str) -> str:
    description = schema.get("properties", {}).get(key, {}).get("description", "")
    return f": {description[:1].lower()}{description[1:].rstrip('.')}" if description else ""


def _unknown_key_hint(key: str, value: object, path: Path, known: dict[str, Any], *, has_own: bool) -> str:
    other = _OTHER_WORDS.get(key.lower(), "")
    guess = f"did you mean `{other}`?" if other in known else did_you_mean(key, known)
    if guess:
        return guess
    if not path and isinstance(value, dict) and ("image" in value or "build" in value):
        return f"put `{key}` under `services:`"
    service = load_schema()["$defs"]["service"]["properties"]
    if len(path) > 2 and path[0] == "services" and key in service:
        return f"`{key}` belongs to the service itself: move it out to `{dotted((*path[:2], key))}`"
    if len(path) == 2 and path[0] == "services" and key in load_schema()["properties"]:
        return f"`{key}` belongs to the top level of the file"
    holders = [name for name, schema in known.items() if key in _keys_of(schema)]
    if len(holders) == 1:
        return f"`{key}` belongs into `{dotted((*path, holders[0]))}`"
    if len(known) <= 8:
        return f"it can have {listing(known)}" + (", and keys that start with `x-`" if has_own else "")
    return "a key of your own must start with `x-`"


def _keys_of(schema: dict[str, Any]) -> set[str]:
    """Return the keys a mapping of this schema can have."""
    if "$ref" in schema:
        return _keys_of(referred(load_schema(), schema["$ref"]))
    found = set(schema.get("properties", ()))
    for branch in schema.get("anyOf", ()):
        found |= _keys_of(branch)
    return found


def _hint_at(path: Path, value: object, wanted: str) -> str:
    """What is likely meant, where the place tells more than the types."""
    if "duration" in wanted and not isinstance(value, str | list | dict) and value is not None:
        return f"did you mean `{value}s`?"
    if path[-1:] == ("restart",) and isinstance(value, bool):
        return "write `always` or `unless-stopped`" if value else 'put it in quotes: "no"'
    if path[-1:] == ("logging",) and isinstance(value, str):
        return f"write `driver: {value}` below it"
    if len(path) == 2 and path[0] == "services" and isinstance(value, str):
        return f"write `image: {value}` below it"
    if isinstance(value, str) and value.startswith("-") and "a list" in wanted:
        return f"write a space after the dash: `- {value[1:].strip()}`"
    return ""


def _type_hint(value: object, names: list[str]) -> str:
    if value is None:
        return "give it a value: indent what belongs to it, or remove the key"
    if "string" in names and not isinstance(value, str | list | dict):
        shown = json.dumps(value)
        return f'put it in quotes: "{shown}"'
    if names == ["string"] and isinstance(value, dict) and len(value) == 1:
        return "in a list, write `- NAME=value`; text that contains `: ` needs quotes"
    if "array" in names and "object" not in names and isinstance(value, str):
        return f"write it as a list: [{json.dumps(value)}]"
    if "object" in names and isinstance(value, list):
        return "write `key: value` lines without the leading `- `"
    if "array" in names and isinstance(value, dict):
        return "start each item with `- `"
    return ""
