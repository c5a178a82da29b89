"""Fingerprints: a short name for a value, equal for equal values, stable across processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Final

_ATOMS: Final = frozenset({str, int, float, bool, NoneType})


def fingerprint(value: object, *, leave_out: frozenset[str] = frozenset()) -> str:
    """Return 64 hex digits that depend on every compared field of ``value``.

    ``value`` is built of dataclasses, tuples, mappings, strings, numbers, booleans and None. Fields
    with ``compare=False`` and top-level fields named in ``leave_out`` take no part.
    """
    text = json.dumps(_plain(value, leave_out), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _plain(value: object, leave_out: frozenset[str] = frozenset()) -> object:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is tuple or kind is list:
        return [_plain(item) for item in value]  # type: ignore[attr-defined]  # told by its type
    names = _compared_fields(kind)  # type: ignore[arg-type]  # mypy asks the instances whether the class has a hash
    if names is not None:
        parts: dict[str, object] = {"": kind.__name__}
        for name in names:
            if name not in leave_out:
                parts[name] = _plain(getattr(value, name))
        return parts
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@cache
def _compared_fields(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's compared fields, None for another type."""
    return tuple(item.name for item in fields(kind) if item.compare) if is_dataclass(kind) else None
