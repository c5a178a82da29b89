"""Following an apply: its events to the screen, Ctrl-C to the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeAlias

from stackctl.cli.failure import Failure
from stackctl.cli.screen import Screen
from stackctl.cli.signals import ENDING, INTERRUPTED, handled
from stackctl.errors import EngineUnreachable, StackctlError
from stackctl.wire.error_json import error_from_json

Event: TypeAlias = Mapping[str, Any]


class _Ended(NamedTuple):
    """The stream is over; ``error`` is what broke it."""

    error: Exception | None


class _Interrupted(NamedTuple):
    """Somebody pressed Ctrl-C, or sent SIGTERM."""


_Message: TypeAlias = Event | _Ended | _Interrupted
_AWAY: Final = "the engine goes on with what it was doing: run the command again to see where it stands"


class Ending(NamedTuple):
    """How an apply went: its last event, and how often it was interrupted."""

    end: Event
    interruptions: int

    @property
    def error(self) -> StackctlError | None:
        """What made it fail, None when it did not."""
        if self.end.get("ok"):
            return None
        return error_from_json(self.end.get("error"))

    def raise_failure(self) -> None:
        """Raise what made it fail; Failure with 130 if it was interrupted and did not fail otherwise."""
        error = self.error
        if self.interruptions and (error is None or error.code == "cancelled"):
            raise Failure(INTERRUPTED)
        if error is not None:
            raise error


def follow(
    open_events: Callable[[], Iterator[Event]],
    cancel: Callable[[str], object],
    screen: Screen,
    *,
    patience: int = 2,
    first_note: str = "",
    was_interrupted: Callable[[], bool] = lambda: False,
) -> Ending:
    """Perform one apply, from opening its stream to its last event. Call from the main thread.

    The first signal cancels the apply and waits for its end. The ``patience``-th stops waiting: the result
    then says cancelled. ``was_interrupted`` tells of a signal that came before we listened. Raises what
    opening the stream raises, and EngineUnreachable when it breaks off; neither stops the engine.
    """
    inbox: SimpleQueue[_Message] = SimpleQueue()
    reader = threading.Thread(target=_read, args=(open_events, inbox), name="apply", daemon=True)
    with handled({number: lambda: inbox.put(_Interrupted()) for number in ENDING}):
        # Order: only now may the user be told what a further Ctrl-C does; one before it is told would be lost.
        if first_note:
            screen.note(first_note)
        if was_interrupted():
            inbox.put(_Interrupted())
        reader.start()
        return _Following(inbox, cancel, screen, patience).run()


def _read(open_events: Callable[[], Iterator[Event]], inbox: SimpleQueue[_Message]) -> None:
    try:
        for event in open_events():
            inbox.put(event)
    except Exception as error:  # the edge of a thread: the main one raises it again
        inbox.put(_Ended(error))
    else:
        inbox.put(_Ended(None))


class _Following:
    def __init__(
        self,
        inbox: SimpleQueue[_Message],
        cancel: Callable[[str], object],
        screen: Screen,
        patience: int,
    ) -> None:
        self._inbox = inbox
        self._cancel = cancel
        self._screen = screen
        self._patience = patience
        self._apply_id = ""
        self._interruptions = 0

    def run(self) -> Ending:
        end: Event = {}
        while True:
            message = self._inbox.get()
            if isinstance(message, _Interrupted):
                self._interruptions += 1
                if self._interruptions >= self._patience:
                    return Ending(
                        {"ok": False, "error": {"message": "interrupted", "code": "cancelled"}},
                        self._interruptions,
                    )
                self._try_to_cancel()
            elif isinstance(message, _Ended):
                if message.error is not None and not end:
                    raise message.error
                return Ending(self._checked(end), self._interruptions)
            elif message.get("event") == "end":
                end = message
            else:
                self._take(message)

    def _take(self, event: Event) -> None:
        if event.get("event") == "apply":
            self._apply_id = str(event.get("id") or "")
            if self._interruptions:
                self._try_to_cancel()
        else:
            self._screen.take(event)

    def _checked(self, end: Event) -> Event:
        if not end:
            raise EngineUnreachable("the engine broke off its report", code="engine-lost", hint=_AWAY)
        return end

    def _try_to_cancel(self) -> None:
        self._screen.note("cancelling… (press Ctrl+C again to stop waiting)")
        if not self._apply_id:
            return  # its id is the stream's first word; it is cancelled then
        # Aside: an engine that does not answer must not keep the next Ctrl-C from being heard.
        threading.Thread(target=_cancel, args=(self._cancel, self._apply_id), name="cancel", daemon=True).start()


def _cancel(cancel: Callable[[str], object], apply_id: str) -> None:
    with suppress(StackctlError):  # it has ended meanwhile: its last event is on its way
        cancel(apply_id)
