"""What a built image says of how it was made, in Docker's words: other tools read and show them.

Source: OCI image-spec, config.md, "history"; measured with Docker 28.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

COMMENT: Final = "buildkit.dockerfile.v0"
_NS: Final = 1_000_000_000


class Line(NamedTuple):
    """One entry; ``created_ns`` is 0 for one that changed no file, and so has no time of its own."""

    created_by: str
    created_ns: int = 0
    is_empty: bool = True


def run_text(argv: Sequence[str], arguments: Sequence[tuple[str, str]]) -> str:
    """Return the entry of a RUN; ``arguments`` are those of the build that it could see."""
    words = [f"{key}={value}" for key, value in arguments]
    if words:
        words = [f"|{len(words)}", *words]
    return " ".join(["RUN", *words, *argv]) + " # buildkit"


def quoted(argv: Sequence[str]) -> str:
    """Return a list as Go's ``%q`` has it: ``["a" "b"]``."""
    return "[" + " ".join(json.dumps(word, ensure_ascii=False) for word in argv) + "]"


def listed(words: Sequence[str]) -> str:
    """Return a list as Go's ``%v`` has it: ``[a b]``."""
    return "[" + " ".join(words) + "]"


def health_text(health: Mapping[str, object]) -> str:
    """Return the entry of a HEALTHCHECK."""
    test = health.get("Test")
    times = [f'"{_duration(health.get(key))}"' for key in ("Interval", "Timeout", "StartPeriod", "StartInterval")]
    retries = health.get("Retries")
    number = retries if isinstance(retries, int) else 0
    words = quoted([str(word) for word in test] if isinstance(test, list) else [])
    return f"HEALTHCHECK &{{{words} {' '.join(times)} {_rune(number)}}}"


def _rune(number: int) -> str:
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 39: "\\'", 92: "\\\\"}
    if number in named:
        return f"'{named[number]}'"
    return f"'\\x{number:02x}'" if number < 32 else f"'{chr(number)}'"


def _duration(value: object) -> str:
    """Return nanoseconds as Go shows a duration: ``1m30s``, ``500ms``."""
    ns = value if isinstance(value, int) else 0
    if ns == 0:
        return "0s"
    if ns < _NS:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if ns >= size:
                return f"{ns / size:.6f}".rstrip("0").rstrip(".") + unit
    whole, rest = divmod(ns, _NS)
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    shown = f"{seconds}" + (f".{rest:09d}".rstrip("0") if rest else "")
    if hours:
        return f"{hours}h{minutes}m{shown}s"
    return f"{minutes}m{shown}s" if minutes else f"{shown}s"
