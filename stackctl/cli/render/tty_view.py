"""The live table of progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stackctl.cli.render.course import Update, Wait
from stackctl.cli.render.durations import stopwatch
from stackctl.cli.render.style import (
    BLUE,
    DIM,
    GREEN,
    RED,
    YELLOW,
    paint,
    shown_width,
    uncoloured,
    without_controls,
)
from stackctl.cli.render.views import Write

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S: Final = 0.1
_CLOCK_WIDTH: Final = 8
_MARKS: Final = {"done": "✔", "warning": "!", "error": "✘"}
_COLOURS: Final = {"working": BLUE, "done": GREEN, "warning": YELLOW, "error": RED}
_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"


@dataclass(slots=True)
class _Row:
    update: Update
    since_s: float
    until_s: float | None


class TtyView:
    """Redraws its table in place: one row a resource, a spinner where something goes on, and for how long.

    ``size`` gives the terminal's (columns, lines) whenever it is drawn. A table that is higher than the
    terminal shows what goes on and the latest of what is done.
    """

    is_live = True

    def __init__(
        self, write: Write, size: Callable[[], tuple[int, int]], *, title: str, has_colour: bool = True
    ) -> None:
        self._write = write
        self._size = size
        self._title = title
        self._has_colour = has_colour
        self._rows: dict[str, _Row] = {}
        self._waits: dict[Wait, float] = {}
        self._notes: list[str] = []
        self._height = 0
        self._now_s = 0.0

    def show(self, update: Update, now_s: float) -> None:
        """Take the update into the table; the next tick draws it."""
        row = self._rows.get(update.resource)
        if row is None or (row.until_s is not None and update.status == "working"):
            # A resource may be worked on again (created, later started): its time goes on from there.
            row = self._rows[update.resource] = _Row(update, row.since_s if row else now_s, None)
        row.update = update
        row.until_s = None if update.status == "working" else now_s

    def note(self, text: str) -> None:
        """Put a line above the table."""
        self._notes.append(text)

    def tick(self, waits: Sequence[Wait], now_s: float) -> None:
        """Draw the table anew."""
        self._waits = {wait: self._waits.get(wait, now_s) for wait in waits}
        self._now_s = now_s
        self._draw(is_last=False)

    def close(self) -> None:
        """Draw a last time, in full, and leave the cursor below."""
        self._waits = {}
        if self._rows or self._height:
            self._draw(is_last=True)

    def frame(self, now_s: float, *, columns: int, lines: int) -> list[str]:
        """Return the table's lines."""
        width = max((shown_width(name) for name in self._rows), default=0)
        rows = [self._line(name, row, now_s, width, columns) for name, row in self._visible(lines - 2)]
        waits = [
            _cut(self._paint(f"   {wait} ({int(now_s - since)}s)", YELLOW), columns)
            for wait, since in self._waits.items()
        ]
        done = sum(row.until_s is not None for row in self._rows.values())
        return [f"[+] {self._title} {done}/{len(self._rows)}", *rows, *waits[: max(0, lines - 2 - len(rows))]]

    def _visible(self, room: int) -> list[tuple[str, _Row]]:
        rows = list(self._rows.items())
        room -= min(len(self._waits), 2)
        if len(rows) <= room:
            return rows
        busy = [name for name, row in rows if row.until_s is None][: max(room, 1)]
        latest = sorted(
            (name for name, row in rows if row.until_s is not None),
            key=lambda name: self._rows[name].until_s or 0.0,
        )
        shown = {*busy, *latest[len(latest) - max(0, room - len(busy)) :]}
        return [(name, row) for name, row in rows if name in shown]

    def _line(self, name: str, row: _Row, now_s: float, width: int, columns: int) -> str:
        status = row.update.status
        mark = _MARKS.get(status) or _SPINNER[int(now_s / _FRAME_S) % len(_SPINNER)]
        elapsed = stopwatch((now_s if row.until_s is None else row.until_s) - row.since_s).rjust(_CLOCK_WIDTH)
        colour = _COLOURS[status]
        detail = f" {without_controls(row.update.detail)}" if row.update.detail else ""
        text = self._paint(row.update.text, colour)
        left = f" {self._paint(mark, colour)} {name.ljust(width)}  {text}{detail}"
        room = columns - _CLOCK_WIDTH - 1
        left = _cut(left, room)
        return f"{left}{' ' * (room - shown_width(left))}{self._paint(elapsed, DIM)}"

    def _draw(self, *, is_last: bool) -> None:
        columns, lines = self._size()
        if is_last:
            lines = len(self._rows) + 8
        frame = self.frame(self._now_s, columns=min(columns, 120), lines=max(lines, 4))
        # One write a frame: two would flicker.
        output = [_HIDE_CURSOR, f"\x1b[{self._height}A" if self._height else "", "\r\x1b[J"]
        output += [f"{note}\n" for note in self._notes]
        output += [f"{line}\n" for line in frame]
        if is_last:
            output.append(_SHOW_CURSOR)
        self._write("".join(output))
        self._notes = []
        self._height = 0 if is_last else len(frame)

    def _paint(self, text: str, colour: str) -> str:
        return paint(text, colour) if self._has_colour else text


def _cut(text: str, columns: int) -> str:
    """Shorten ``text`` to so many columns; colours are lost where it is cut."""
    if shown_width(text) <= columns:
        return text
    return uncoloured(text)[: max(0, columns - 1)] + "…"
