"""Views of progress that need no terminal: plain lines, JSON lines, nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from stackctl.cli.render.course import Update, Wait
from stackctl.cli.render.style import without_controls

Write = Callable[[str], object]
_FIRST_REMINDER_S: Final = 5.0
_REMINDER_S: Final = 15.0
_JSON_STATUS: Final = {"working": "Working", "done": "Done", "warning": "Warning", "error": "Error"}


class View(Protocol):
    """Shows an apply. Called by one thread at a time; ``now_s`` is a clock that never goes back.

    One that ``is_live`` draws over what it has shown.
    """

    is_live: bool

    def show(self, update: Update, now_s: float) -> None:
        """A resource does something, or has done it."""
        ...

    def note(self, text: str) -> None:
        """Say something that belongs to no resource."""
        ...

    def tick(self, waits: Sequence[Wait], now_s: float) -> None:
        """Time has passed."""
        ...

    def close(self) -> None:
        """Leave the terminal as the next program wants it."""
        ...


class PlainView:
    """One line for each event, as Compose writes to what is no terminal."""

    is_live = False

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waits: dict[Wait, tuple[float, float]] = {}

    def show(self, update: Update, now_s: float) -> None:
        """Write the line."""
        del now_s
        detail = f"  {without_controls(update.detail)}" if update.detail else ""
        self._write(f" {update.resource}  {update.text}{detail}\n")

    def note(self, text: str) -> None:
        """Write it as it is."""
        self._write(f"{text}\n")

    def tick(self, waits: Sequence[Wait], now_s: float) -> None:
        """Remind, now and then, of what is still waited for."""
        self._waits = {wait: self._waits.get(wait, (now_s, now_s + _FIRST_REMINDER_S)) for wait in waits}
        for wait, (since, due) in self._waits.items():
            if now_s >= due:
                self._write(f" {wait} ({int(now_s - since)}s)\n")
                self._waits[wait] = (since, now_s + _REMINDER_S)

    def close(self) -> None:
        """Nothing to leave."""


class JsonView:
    """One JSON object for each event, with Compose's keys."""

    is_live = False

    def __init__(self, write: Write) -> None:
        self._write = write

    def show(self, update: Update, now_s: float) -> None:
        """Write the object."""
        del now_s
        shape = {"id": update.resource, "status": _JSON_STATUS[update.status], "text": update.text}
        if update.detail:
            shape["details"] = update.detail
        self._write(json.dumps(shape, ensure_ascii=False) + "\n")

    def note(self, text: str) -> None:
        """Write an object without a resource."""
        self._write(json.dumps({"id": "", "status": "Working", "text": text}, ensure_ascii=False) + "\n")

    def tick(self, waits: Sequence[Wait], now_s: float) -> None:
        """Events say all there is."""

    def close(self) -> None:
        """Nothing to leave."""


class QuietView:
    """Shows nothing."""

    is_live = False

    def show(self, update: Update, now_s: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def tick(self, waits: Sequence[Wait], now_s: float) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to leave."""
