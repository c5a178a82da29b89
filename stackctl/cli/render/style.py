"""Colours of a terminal."""

from __future__ import annotations

import re
from typing import Final

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BLUE: Final = "34"
MAGENTA: Final = "35"
CYAN: Final = "36"
DIM: Final = "2"
BOLD: Final = "1"

_SEQUENCE: Final = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


def paint(text: str, colour: str) -> str:
    """Return ``text`` in a colour; as it is when either is empty."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text else text


def shown_width(text: str) -> int:
    """Return how many columns ``text`` takes, colours aside."""
    return len(uncoloured(text))


def uncoloured(text: str) -> str:
    """Return ``text`` without colours."""
    return _SEQUENCE.sub("", text)


def without_controls(text: str) -> str:
    """Return ``text`` with control characters made visible: names and messages of others may hold any."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
