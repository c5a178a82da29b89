"""Sizes as Docker's tools write them. Pure."""

from __future__ import annotations


def size_text(size_bytes: int) -> str:
    """Return ``12.3MB``, with Docker's units of a thousand."""
    value, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g}{units[0]}" if value < 1000 else f"{value:.0f}{units[0]}"
