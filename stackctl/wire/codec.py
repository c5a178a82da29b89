"""A JSON form for frozen dataclasses, driven by their type hints.

A dataclass becomes an object of its class name, under ``"type"``, and of those fields that differ from
their defaults; no dataclass has a field of that name. Tuples become arrays, mappings objects;
fields with ``compare=False`` are left out (they are explanations, not facts). What ``encode`` wrote,
``decode`` reads back equal; anything else raises WireError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from stackctl.wire.wire_error import WireError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
T = TypeVar("T")
_Decoder: TypeAlias = Callable[[Any], Any]


def encode(value: object) -> Any:
    """Return the JSON form of ``value``."""
    if is_dataclass(value) and not isinstance(value, type):
        shape: dict[str, Any] = {"type": type(value).__name__}
        for item in fields(value):
            content = getattr(value, item.name)
            if item.compare and not _is_default(item, content):
                shape[item.name] = encode(content)
        return shape
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise WireError(f"{type(value).__name__} has no JSON form")


def decode(kind: type[T], json: object) -> T:
    """Return the value of type ``kind`` that ``json`` stands for. Raises WireError."""
    result: T = _decoder(kind)(json)
    return result


def decode_union(kind: Any, json: object) -> Any:
    """Like ``decode``, for a union alias such as ``Action``."""
    return _decoder(kind)(json)


def _is_default(item: Field[Any], content: object) -> bool:
    if item.default is not MISSING:
        return bool(content == item.default)
    if item.default_factory is not MISSING:
        return bool(content == item.default_factory())
    return False


def _make_decoder(kind: Any) -> _Decoder:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _decode_union(kind)
    if origin is Literal:
        return _decode_literal(get_args(kind))
    if origin is tuple:
        return _decode_tuple(get_args(kind))
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(get_args(kind))
    if is_dataclass(kind):
        return _decode_dataclass(kind)
    return _decode_plain(kind)


_decoder: Callable[[Any], _Decoder] = cache(_make_decoder)
"""Types are few: each one's decoder is made once."""


def _decode_plain(kind: Any) -> _Decoder:
    def read(json: object) -> object:
        if kind is float and type(json) is int:
            return float(json)
        if type(json) is not kind:
            raise WireError(f"expected {kind.__name__}, got {type(json).__name__}")
        return json

    return read


def _decode_literal(choices: tuple[object, ...]) -> _Decoder:
    def read(json: object) -> object:
        if json not in choices:
            raise WireError(f"expected one of {choices}, got {json!r}")
        return json

    return read


def _decode_tuple(parts: tuple[Any, ...]) -> _Decoder:
    if len(parts) == 2 and parts[1] is Ellipsis:
        item = _decoder(parts[0])

        def read_many(json: object) -> object:
            if not isinstance(json, list):
                raise WireError(f"expected an array, got {type(json).__name__}")
            return tuple(item(entry) for entry in json)

        return read_many
    items = [_decoder(part) for part in parts]

    def read_fixed(json: object) -> object:
        if not isinstance(json, list) or len(json) != len(items):
            raise WireError(f"expected an array of {len(items)}")
        return tuple(read(entry) for read, entry in zip(items, json, strict=True))

    return read_fixed


def _decode_mapping(parts: tuple[Any, ...]) -> _Decoder:
    item = _decoder(parts[1])

    def read(json: object) -> object:
        if not isinstance(json, dict):
            raise WireError(f"expected an object, got {type(json).__name__}")
        return MappingProxyType({key: item(entry) for key, entry in json.items()})

    return read


def _decode_union(kind: Any) -> _Decoder:
    members = get_args(kind)
    classes: dict[str, Any] = {
        str(member.__name__): member for member in members if isinstance(member, type) and is_dataclass(member)
    }
    others = [_decoder(member) for member in members if not is_dataclass(member) and member is not NoneType]
    if len(classes) == 1 and not others:
        only = _decoder(next(iter(classes.values())))
        return lambda json: None if json is None and NoneType in members else only(json)

    def read(json: object) -> object:
        if json is None and NoneType in members:
            return None
        if isinstance(json, dict) and json.get("type") in classes:
            return _decoder(classes[json["type"]])(json)
        for other in others:
            try:
                return other(json)
            except WireError:
                continue
        raise WireError(f"expected one of {sorted(classes)}")

    return read


def _decode_dataclass(kind: Any) -> _Decoder:
    hints = get_type_hints(kind, vars(sys.modules[kind.__module__]))
    readers = {item.name: _decoder(hints[item.name]) for item in fields(kind) if item.compare}
    needed = {
        item.name
        for item in fields(kind)
        if item.compare and item.default is MISSING and item.default_factory is MISSING
    }

    def read(json: object) -> object:
        if not isinstance(json, dict):
            raise WireError(f"{kind.__name__}: expected an object, got {type(json).__name__}")
        unknown = set(json) - set(readers) - {"type"}
        missing = needed - set(json)
        if unknown or missing:
            raise WireError(f"{kind.__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
        values = {}
        for name, entry in json.items():
            if name == "type":
                continue
            try:
                values[name] = readers[name](entry)
            except WireError as wrong:
                raise WireError(f"{kind.__name__}.{name}: {wrong}") from None
        return kind(**values)

    return read
