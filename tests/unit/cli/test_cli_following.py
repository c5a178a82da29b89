"""Following an apply: signals, whenever they come."""

from __future__ import annotations

import os
import signal

from stackctl.cli.applying import Event, follow
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import Settings

QUIET = Settings(environment={}, cwd="/", progress="quiet")


def test_a_signal_that_came_before_anybody_listened_counts() -> None:
    with open_screen(QUIET, "stop") as screen:
        ending = follow(lambda: iter(()), lambda _id: None, screen, patience=1, was_interrupted=lambda: True)

    assert ending.interruptions == 1
    assert ending.error is not None
    assert ending.error.code == "cancelled"


def test_a_signal_is_heard_from_the_moment_that_the_user_is_told_what_it_does() -> None:
    with open_screen(QUIET, "stop") as screen:
        told = []

        class Telling:
            """The screen, on which somebody presses Ctrl-C the moment he reads of it."""

            def note(self, text: str) -> None:
                told.append(text)
                os.kill(os.getpid(), signal.SIGINT)

            def take(self, event: Event) -> None:
                screen.take(event)

        ending = follow(
            lambda: iter(()),
            lambda _id: None,
            Telling(),
            patience=1,
            first_note="again to force",
        )

    assert told == ["again to force"]
    assert ending.interruptions == 1
