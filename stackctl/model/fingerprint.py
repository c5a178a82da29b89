"""Fingerprints: a short name for a value, equal for equal values, stable across processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass


def fingerprint(value: object, *, leave_out: frozenset[str] = frozenset()) -> str:
    """Return 64 hex digits that depend on every compared field of ``value``.

    ``value`` is built of dataclasses, tuples, mappings, strings, numbers, booleans and None. Fields
    with ``compare=False`` and top-level fields named in ``leave_out`` take no part.
    """
    text = json.dumps(_plain(value, leave_out), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _plain(value: object, leave_out: frozenset[str] = frozenset()) -> object:
    if is_dataclass(value):
        parts: dict[str, object] = {"": type(value).__name__}
        for item in fields(value):
            if item.compare and item.name not in leave_out:
                parts[item.name] = _plain(getattr(value, item.name))
        return parts
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
