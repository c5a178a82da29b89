"""Times as people say them, with Docker's words. Pure."""

from __future__ import annotations

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600


def human_duration(seconds: float) -> str:
    """Return ``3 minutes``, ``About an hour``, as Docker's go-units does."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    return _long_duration(int(seconds / _HOUR + 0.5))


def _long_duration(hours: int) -> str:
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def ago(created_s: float, now_s: float) -> str:
    """Return ``3 minutes ago``."""
    return f"{human_duration(max(0.0, now_s - created_s))} ago"


def stopwatch(seconds: float) -> str:
    """Return a short running time: ``0.3s``, ``12.0s``."""
    return f"{seconds:.1f}s"
