"""Sizes and durations as stack files write them."""

from __future__ import annotations

import re

_BYTES = re.compile(r"[-+]?\d+", re.ASCII)
_SIZE = re.compile(
    r"\+?((?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,2})?) ?(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE | re.ASCII
)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w)")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
    "d": 24 * 3600 * 1_000_000_000,
    "w": 7 * 24 * 3600 * 1_000_000_000,
}
_LARGEST = 1 << 63


def parse_bytes(text: str) -> int | None:
    """Return the number of bytes ``text`` (``1.5g``, ``64 MiB``, ``-1``) means, or None if it means none."""
    if len(text) > 40:
        return None
    text = re.sub(r"(?<=\d)_(?=\d)", "", text)
    if _BYTES.fullmatch(text):
        return int(text) if abs(int(text)) < _LARGEST else None
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    size = _times(match[1], 1024 ** _POWERS[(match[2] or "").lower()])
    return size if abs(size) < _LARGEST else None


def parse_duration_ns(text: str) -> int | None:
    """Return the nanoseconds ``text`` (``1m30s``) means, or None if it means none."""
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-")
    if body == "0":
        return 0
    total = 0
    end = 0
    if len(text) > 100:
        return None
    for match in _DURATION.finditer(body):
        if match.start() != end:
            return None
        end = match.end()
        total += _times(match[1], _UNITS_NS[match[2]])
    if end == 0 or end != len(body) or total >= _LARGEST:
        return None
    return sign * total


def _times(number: str, factor: int) -> int:
    """Return a decimal number of any form times ``factor``, rounded down."""
    mantissa, _, exponent = number.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) - len(fraction)
    amount = int(f"{whole}{fraction}") * factor
    scale = int(10 ** abs(power))
    return amount * scale if power >= 0 else amount // scale


def duration_text(nanoseconds: int) -> str:
    """Return a duration as Go prints it: ``1m30s``, ``24h0m0s``, ``1.5s``, ``100ms``, ``0s``."""
    sign = "-" if nanoseconds < 0 else ""
    left = abs(nanoseconds)
    if left == 0:
        return "0s"
    if left < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if left >= size:
                return f"{sign}{_decimal(left, size)}{unit}"
    seconds, fraction = divmod(left, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds * 1_000_000_000 + fraction, 1_000_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
