"""Reading a tree whose shape the schema may or may not have approved: nothing here ever fails."""

from __future__ import annotations

from stackctl.stackfile.node import Json


def as_dict(value: Json) -> dict[str, Json]:
    """Return a mapping, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> list[Json]:
    """Return a list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: Json) -> str:
    """Return a string, or "" for anything else."""
    return value if isinstance(value, str) else ""


def as_int(value: Json, default: int = 0) -> int:
    """Return a whole number, or ``default`` for anything else."""
    if isinstance(value, bool):
        return default
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else default


def texts(value: Json) -> tuple[str, ...]:
    """Return the strings of a list."""
    return tuple(item for item in as_list(value) if isinstance(item, str))


def said(value: Json) -> tuple[str, ...]:
    """Return the strings of a list that are not empty: an empty one came of a variable that is not set."""
    return tuple(text for text in texts(value) if text)


def pairs(value: Json) -> tuple[tuple[str, str], ...]:
    """Return the entries of a mapping of strings, sorted by key."""
    return tuple(sorted((key, entry) for key, entry in as_dict(value).items() if isinstance(entry, str)))
