"""Tables of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_GAP: Final = 3
_NARROWEST: Final = 10


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, narrowest: int = _NARROWEST) -> str:
    """Return lines of columns three blanks apart, each with its end; the last column is not padded."""
    lines = [head, *rows]
    last = len(head) - 1
    widths = [max(narrowest, *(len(line[at]) + _GAP for line in lines)) for at in range(last)]
    return "".join("".join(line[at].ljust(widths[at]) for at in range(last)) + line[last] + "\n" for line in lines)
