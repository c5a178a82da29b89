"""Docker's filters, as networks, volumes and images know them. Source: Docker Engine API 1.51."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from stackctl.api.connection import BadRequest

Filters = Mapping[str, Sequence[str]]
_NS: Final = 1_000_000_000
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_TRUE: Final = ("1", "true")
_FALSE: Final = ("0", "false")


def check_known(filters: Filters, known: Iterable[str]) -> None:
    """Raise BadRequest for a filter that there is not."""
    for name in filters:
        if name not in known:
            raise BadRequest(f"invalid filter '{name}'")


def truth(filters: Filters, name: str) -> bool | None:
    """Return a filter that is true or false, None when it is absent. Raises BadRequest."""
    values = filters.get(name)
    if not values:
        return None
    if len(values) == 1 and values[0].lower() in (*_TRUE, *_FALSE):
        return values[0].lower() in _TRUE
    raise BadRequest(f"invalid filter '{name}={values[0]}'")


def has_labels(marks: Iterable[tuple[str, str]], filters: Filters) -> bool:
    """Whether every label asked for is there, and none that must not be."""
    found = dict(marks)
    return all(_is_labelled(found, wanted) for wanted in filters.get("label", ())) and not any(
        _is_labelled(found, unwanted) for unwanted in filters.get("label!", ())
    )


def has_name(name: str, filters: Filters) -> bool:
    """Whether any of the names asked for, a regular expression or a part, is in ``name``."""
    wanted = filters.get("name")
    return not wanted or any(_is_in(name, one) for one in wanted)


def is_older(created_ns: int, filters: Filters, now_ns: int) -> bool:
    """Whether something is older than ``until``: seconds since the epoch, a date, or a span. Raises BadRequest."""
    return all(created_ns < _moment_ns(text, now_ns) for text in filters.get("until", ()))


def _moment_ns(text: str, now_ns: int) -> int:
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now_ns - int(sum(float(number) * _UNITS[unit] for number, unit in parts) * _NS)
    try:
        return int(float(text) * _NS)
    except ValueError:
        pass
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return int(time.mktime(time.strptime(text, form)) * _NS)
        except ValueError:
            continue
    raise BadRequest(f"invalid filter 'until={text}'")


def _is_labelled(marks: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in marks and (not equals or marks[key] == value)


def _is_in(name: str, wanted: str) -> bool:
    if wanted in name:
        return True
    try:
        return re.search(wanted, name) is not None
    except re.error:
        return False
