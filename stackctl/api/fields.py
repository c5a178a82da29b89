"""JSON objects of requests, read as Go reads them: names in any case, null and absence are the zero value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackctl.api.connection import BadRequest

_KINDS: Final = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class Fields:
    """One object. Every method raises BadRequest, naming the field, when the value is of another type."""

    def __init__(self, shape: object, where: str = "") -> None:
        self._where = where
        if shape is None:
            shape = {}
        if not isinstance(shape, Mapping):
            raise BadRequest(f"json: cannot unmarshal {_kind(shape)} into {where or 'the body'}, which is an object")
        self._values: dict[str, Any] = {str(name).lower(): value for name, value in shape.items()}

    def text(self, name: str) -> str:
        """Return a string."""
        return str(self._value(name, str, ""))

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return bool(self._value(name, bool, False))

    def number(self, name: str) -> int:
        """Return a whole number."""
        return self.optional_number(name) or 0

    def optional_number(self, name: str) -> int | None:
        """Return a whole number, None when it is absent."""
        value = self._values.get(name.lower())
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise self._misfit(name, value, "whole number")
        return int(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an array of strings, () when it is absent."""
        return self.optional_texts(name) or ()

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """Return an array of strings, or the one string that stands for it; None when it is absent."""
        value = self._values.get(name.lower())
        if value is None:
            return None
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self._misfit(name, value, "array of strings")
        return tuple(value)

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return an array of whole numbers."""
        found = self._value(name, list, [])
        if not all(isinstance(number, int) for number in found):
            raise self._misfit(name, found, "array of numbers")
        return tuple(found)

    def within(self, name: str) -> Fields:
        """Return the fields of an object, none when it is absent."""
        return Fields(self._values.get(name.lower()), self._path(name))

    def objects(self, name: str) -> tuple[Fields, ...]:
        """Return an array of objects."""
        return tuple(Fields(entry, self._path(name)) for entry in self._value(name, list, []))

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object whose keys are data, not names of fields."""
        return dict(self._value(name, dict, {}))

    def pairs(self, name: str) -> dict[str, str]:
        """Return an object of strings."""
        found = self.mapping(name)
        for key, value in found.items():
            if not isinstance(value, str):
                raise self._misfit(f"{name}.{key}", value, "string")
        return found

    def given(self, names: tuple[str, ...]) -> list[str]:
        """Return which of these fields have a value that is not its type's zero."""
        return [name for name in names if self._values.get(name.lower())]

    def __bool__(self) -> bool:
        """Whether there is any field at all."""
        return bool(self._values)

    def _value(self, name: str, kind: type[Any], default: Any) -> Any:
        value = self._values.get(name.lower())
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self._misfit(name, value, _KINDS[kind])
        return value

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _misfit(self, name: str, value: object, wanted: str) -> BadRequest:
        return BadRequest(f"json: cannot unmarshal {_kind(value)} into {self._path(name)}, which is a {wanted}")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "null")
