"""The screen: what an apply's events look like while they come."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from stackctl.cli.render.build_course import Builds
from stackctl.cli.render.course import Course, Update
from stackctl.cli.render.plan import plan_lines
from stackctl.cli.render.pull_course import Pulls
from stackctl.cli.render.views import JsonView, PlainView, QuietView, View, Write
from stackctl.cli.settings import Settings
from stackctl.cli.warnings import tell
from stackctl.wire.error_json import diagnostics_from_json

_TICK_S: Final = 0.1


class Screen:
    """Shows one apply after another; a thread keeps spinners and clocks going meanwhile."""

    def __init__(self, settings: Settings, view: View, *, shows_plan: bool = False, has_colour: bool = False) -> None:
        self._settings = settings
        self._shows_plan = shows_plan
        self._has_colour = has_colour
        self._view = view
        self._course = Course()
        self._pulls = Pulls()
        self._builds = Builds()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="screen", daemon=True)

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan that is performed, empty before it is known."""
        return self._course.plan

    def take(self, event: Mapping[str, Any]) -> None:
        """Show an event of an apply."""
        match event.get("event"):
            case "plan":
                with self._lock:
                    updates = list(self._course.begin(event.get("plan") or {}))
                self._show_plan(str(event.get("text") or ""))
                for update in updates:
                    self.show(update)
            case "step":
                with self._lock:
                    updates = list(self._course.follow(event))
                for update in updates:
                    self.show(update)
            case "pull" | "build":
                self._take_progress(event)
            case "waiting":
                self.note(f"waiting: {event.get('detail')}")
            case "warning":
                tell(self._settings, diagnostics_from_json([event.get("diagnostic")]), self.note)

    def _take_progress(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "pull" and not self._settings.is_pull_quiet:
            self._pulls.take(event, self.show_progress)
        if event.get("event") == "build" and not self._settings.is_build_quiet:
            self._builds.take(event, self.show, None if self._view.is_live else self.note)

    def _show_plan(self, text: str) -> None:
        if self._shows_plan and text and self._settings.progress not in ("json", "quiet"):
            self.note(plan_lines(text, has_colour=self._has_colour).rstrip("\n"))

    def show(self, update: Update) -> None:
        """Show what a resource does."""
        with self._lock:
            self._view.show(update, time.monotonic())

    def show_progress(self, update: Update) -> None:
        """Show how far something is, where that can be drawn over: in lines it would be noise."""
        if self._view.is_live:
            self.show(update)

    def note(self, text: str) -> None:
        """Say something beside what resources do."""
        with self._lock:
            self._view.note(text)

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._lock:
                self._view.tick(self._course.waits, time.monotonic())

    def __enter__(self) -> Screen:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._ticker.join()
        with self._lock:
            self._view.close()


def open_screen(settings: Settings, title: str, *, is_quiet: bool = False) -> Screen:
    """Return the screen that the options ask for, a blank one for ``is_quiet``; it writes to standard error."""
    stream = sys.stdout if settings.is_set("COMPOSE_STATUS_STDOUT") else sys.stderr

    def write(text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:  # nobody looks any more: the apply matters, not its picture
            return

    is_terminal = stream.isatty()
    view = QuietView() if is_quiet else _view(settings, title, write, is_terminal=is_terminal)
    has_colour = settings.has_colour(is_terminal=is_terminal)
    return Screen(settings, view, shows_plan=title == "up", has_colour=has_colour)


def unchanged_text(settings: Settings, title: str, plan: Mapping[str, Any]) -> str:
    """Return what is shown of an apply whose only event is ``plan``, that of a plan without steps."""
    pieces: list[str] = []
    is_terminal = sys.stderr.isatty()
    view = _view(settings, title, pieces.append, is_terminal=is_terminal)
    Screen(settings, view, shows_plan=True, has_colour=settings.has_colour(is_terminal=is_terminal)).take(plan)
    view.close()
    return "".join(pieces)


def _view(settings: Settings, title: str, write: Write, *, is_terminal: bool) -> View:
    mode = settings.progress
    if mode == "auto":
        is_dumb = settings.environment.get("TERM", "") in ("", "dumb") or settings.ansi == "never"
        mode = "tty" if is_terminal and not is_dumb else "plain"
    match mode:
        case "json":
            return JsonView(write)
        case "quiet":
            return QuietView()
        case "tty":
            from stackctl.cli.render.tty_view import TtyView  # only on a terminal

            has_colour = settings.has_colour(is_terminal=is_terminal)
            return TtyView(write, terminal_size, title=title, has_colour=has_colour)
        case _:
            return PlainView(write)


def terminal_size() -> tuple[int, int]:
    """Return columns and lines of the terminal that progress is drawn on; 80 by 24 when there is none."""
    for fd in (2, 1):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        if size.columns and size.lines:
            return size.columns, size.lines
    return 80, 24
