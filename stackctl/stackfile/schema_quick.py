"""A fast yes-or-no answer to whether a tree fits the JSON Schema.

Understands exactly the keywords ``stack.schema.json`` uses, and refuses others when it is built; a property
test holds it to what ``jsonschema`` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

Accepts: TypeAlias = Callable[[object], bool]
_ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description", "x-must-be", "default", "examples"}


def is_type(value: object, name: str) -> bool:
    """Say whether ``value`` is of a JSON Schema type."""
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "integer":
            return _is_integer(value)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def referred(root: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return the schema that ``#/$defs/…`` names."""
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def compile_schema(schema: dict[str, Any], *, with_required: bool) -> Accepts:
    """Return a predicate; without ``with_required`` missing keys are no fault."""
    return _Compiler(schema, with_required=with_required).accepts(schema)


class _Compiler:
    def __init__(self, root: dict[str, Any], *, with_required: bool) -> None:
        self._root = root
        self._with_required = with_required
        self._built: dict[str, Accepts] = {}

    def accepts(self, schema: dict[str, Any]) -> Accepts:
        tests: list[Accepts] = []
        object_keys = {"properties", "patternProperties", "additionalProperties", "propertyNames", "required"}
        for keyword in schema:
            if keyword in _ANNOTATIONS or keyword in object_keys:
                continue
            tests.append(self._keyword(keyword, schema[keyword]))
        if object_keys & schema.keys():
            tests.append(self._object(schema))
        if not tests:
            return lambda _: True
        if len(tests) == 1:
            return tests[0]
        return lambda value: all(test(value) for test in tests)

    def _keyword(self, keyword: str, argument: Any) -> Accepts:
        match keyword:
            case "$ref":
                return self._reference(argument)
            case "type":
                names = argument if isinstance(argument, list) else [argument]
                return lambda value: any(is_type(value, name) for name in names)
            case "enum":
                return lambda value: isinstance(value, str) and value in argument
            case "anyOf":
                branches = [self.accepts(branch) for branch in argument]
                return lambda value: any(branch(value) for branch in branches)
            case "items":
                return self._items(self.accepts(argument))
            case "pattern":
                search = re.compile(argument).search
                return lambda value: not isinstance(value, str) or search(value) is not None
            case "minimum":
                return lambda value: not is_type(value, "number") or value >= argument
            case "maximum":
                return lambda value: not is_type(value, "number") or value <= argument
            case _:
                raise ValueError(f"schema keyword {keyword} is not understood")

    def _reference(self, name: str) -> Accepts:
        # Bound late, because a definition may refer to itself.
        def accepts(value: object) -> bool:
            built = self._built.get(name)
            if built is None:
                built = self._built[name] = self.accepts(referred(self._root, name))
            return built(value)

        return accepts

    def _items(self, item: Accepts) -> Accepts:
        return lambda value: not isinstance(value, list) or all(item(entry) for entry in value)

    def _object(self, schema: dict[str, Any]) -> Accepts:
        known = {key: self.accepts(entry) for key, entry in schema.get("properties", {}).items()}
        patterns = [
            (re.compile(pattern).search, self.accepts(entry))
            for pattern, entry in schema.get("patternProperties", {}).items()
        ]
        others = schema.get("additionalProperties", {})
        other = self.accepts(others) if isinstance(others, dict) else None
        name = self.accepts(schema["propertyNames"]) if "propertyNames" in schema else None
        required = schema.get("required", ()) if self._with_required else ()

        def entry_fits(key: str, entry: object) -> bool:
            if name is not None and not name(key):
                return False
            is_known = key in known
            if is_known and not known[key](entry):
                return False
            for search, accepts in patterns:
                if search(key):
                    is_known = True
                    if not accepts(entry):
                        return False
            return is_known or (other is not None and other(entry))

        def accepts(value: object) -> bool:
            if not isinstance(value, dict):
                return True
            return all(key in value for key in required) and all(entry_fits(key, entry) for key, entry in value.items())

        return accepts
