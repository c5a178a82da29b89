"""Signals, without doing work in a handler."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED: Final = 130


@contextmanager
def handled(handlers: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Call the handlers for their signals; afterwards signals do what they did before.

    Handlers run in the main thread, between any two of its steps: they may put into a SimpleQueue, or raise.
    """
    previous = {}
    try:
        for number, act in handlers.items():
            previous[number] = signal.signal(number, _calling(act))
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _calling(act: Callable[[], object]) -> Callable[[int, object], None]:
    def handle(_number: int, _frame: object) -> None:
        act()

    return handle


class Courier:
    """Runs, in a thread of its own and in order, what handlers ask for."""

    def __init__(self) -> None:
        self._errands: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def send(self, errand: Callable[[], object]) -> None:
        """Have something done soon; what it raises is dropped: the one it was for may be gone."""
        self._errands.put(errand)

    def close(self) -> None:
        """Finish what was asked for."""
        self._errands.put(None)
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                errand()
            except Exception:  # the edge of a thread that nobody waits for
                continue
