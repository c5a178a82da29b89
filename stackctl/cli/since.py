"""Points in time on the command line, and lengths of time. Pure."""

from __future__ import annotations

import re
from typing import Final

from stackctl.errors import UsageError

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds_of(text: str) -> float | None:
    """Return the length of ``1h30m``, ``10s``; None for anything else."""
    at, total = 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return total if text else None


def moment_of(text: str, *, now_s: float, option: str = "--since") -> str:
    """Return a point in time as the engine takes it, in seconds since the epoch.

    ``text`` is a length of time before now, seconds since the epoch, or an ISO 8601 date with or without a
    time; one without a zone is local. Raises UsageError.
    """
    back = seconds_of(text)
    if back is not None:
        return f"{now_s - back:.9f}"
    try:
        return f"{float(text):.9f}"
    except ValueError:
        pass
    from datetime import datetime  # only for dates

    try:
        return f"{datetime.fromisoformat(text).timestamp():.9f}"
    except ValueError:
        raise UsageError(
            f'invalid value for {option}: "{text}"',
            hint="write 10m, 2026-01-31T12:00:00 or seconds since the epoch",
        ) from None
