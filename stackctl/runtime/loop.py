"""The supervisor's event loop: descriptors and timers, one thread, no wake-up without a cause."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Final

Callback = Callable[[], None]
READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT


class Timer:
    """A call that is due; ``cancel`` makes it not happen."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callback) -> None:
        self.due = due
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget the call; harmless when it happened already."""
        self.callback = None


class Loop:
    """Calls back when a descriptor is ready or a time has come. Only its own thread may use it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False

    def register(self, fd: int, callback: Callback, events: int = READABLE) -> None:
        """Call ``callback`` whenever ``fd`` is ready (level-triggered)."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def modify(self, fd: int, events: int) -> None:
        """Change what ``fd`` is watched for."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Stop watching ``fd``; do so before closing it. Harmless when it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        """Call ``callback`` once, ``delay_s`` from now."""
        timer = Timer(time.monotonic() + delay_s, callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Work until ``stop``."""
        self._running = True
        while self._running:
            ready = [(fd, self._callbacks.get(fd)) for fd, _ in self._epoll.poll(self._timeout_s())]
            for fd, callback in ready:
                # Unless an earlier one of this round closed it, and its number is another's already.
                if callback is not None and self._callbacks.get(fd) is callback:
                    callback()
            self._call_due()

    def stop(self) -> None:
        """Leave ``run`` after the present round."""
        self._running = False

    def close(self) -> None:
        """Let go of the kernel's side; nothing may be watched any more."""
        self._epoll.close()

    def _timeout_s(self) -> float:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        # epoll counts milliseconds and rounds down: one more, or it would spin until the time has come.
        return max(0.0, self._timers[0][0] - time.monotonic() + 0.001)

    def _call_due(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()
