"""The daemon's bus of events: those of the supervisor, as they happen, and those of images and execs."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from stackctl.errors import EngineError, TransientError
from stackctl.model.event import Event, EventKind
from stackctl.model.observed import ObservedContainer
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire import codec

MOST_KEPT: Final = 2048
_MOST_WAITING: Final = 16_384
_PAUSE_S: Final = 1.0
# The kernel takes a number of 32 bits.
_LONGEST_POLL_MS: Final = 24 * 3600 * 1000


class EventBus:
    """Remembers the last events and hands out each new one. Any thread may call any method."""

    def __init__(self, supervisor: SupervisorClient) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=MOST_KEPT)
        self._subscriptions: list[Subscription] = []
        self._epoch = ""
        self._number = 0

    def begin(self) -> None:
        """Follow the supervisor, and whoever replaces it, from now on; what it still remembers comes first."""
        threading.Thread(target=self._follow, name="events", daemon=True).start()

    def tell(self, kind: EventKind, action: str, subject: str, attributes: tuple[tuple[str, str], ...] = ()) -> None:
        """Record what has just happened here."""
        self._take(Event(kind=kind, action=action, id=subject, attributes=attributes, time_ns=time.time_ns()))

    def tell_container(self, container: ObservedContainer, action: str, **more: str) -> None:
        """Record what has just been done to a container here."""
        about = (("image", container.image_ref), ("name", container.name))
        self.tell("container", action, container.id, (*container.labels, *more.items(), *about))

    def tell_image(self, action: str, image_id: str, name: str) -> None:
        """Record what has just been done to an image."""
        self.tell("image", action, name if action == "pull" else image_id, (("name", name),))

    def subscribe(self, *, since_ns: int | None = None, is_internal: bool = False) -> Subscription:
        """Return what happens from now on, after what is remembered from ``since_ns`` on. It must be closed.

        One that ``is_internal`` is the daemon's own and does not count.
        """
        with self._lock:
            past = [] if since_ns is None else [event for event in self._kept if event.time_ns >= since_ns]
            made = Subscription(self, sorted(past, key=lambda event: event.time_ns), is_internal=is_internal)
            self._subscriptions.append(made)
            return made

    def count(self) -> int:
        """Return how many clients listen."""
        return sum(not subscription.is_internal for subscription in self._subscriptions)

    def leave(self, subscription: Subscription) -> None:
        """Hand it no more events."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def _take(self, event: Event) -> None:
        with self._lock:
            self._kept.append(event)
            for subscription in self._subscriptions:
                subscription.put(event)

    def _follow(self) -> None:
        while True:
            try:
                call = self._supervisor.begin("follow", epoch=self._epoch, after=self._number)
                while True:
                    _, message, _ = call.next()
                    self._epoch, self._number = message["epoch"], message["number"]
                    self._take(codec.decode(Event, message["event"]))
            except TransientError:
                continue  # the next supervisor is on its way, and to connect waits for it
            except EngineError:
                time.sleep(_PAUSE_S)  # one of another version, which is to be replaced


class Subscription:
    """The events one listener gets. One thread reads."""

    def __init__(self, bus: EventBus, past: list[Event], *, is_internal: bool) -> None:
        self._bus = bus
        self.is_internal = is_internal
        self._waiting = deque(past)
        self._wake_fd = os.eventfd(len(past), os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_closed = False

    def put(self, event: Event) -> None:
        """Hand it an event; the bus alone calls this, holding its lock."""
        if not self._is_closed and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(event)
            os.eventfd_write(self._wake_fd, 1)

    def read(self, *, give_up_fd: int, until_ns: int | None = None) -> Iterator[Event]:
        """Yield events until ``until_ns``, or until whoever is behind ``give_up_fd`` hangs up.

        One that reads too slowly misses the newest.
        """
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        poller.register(give_up_fd, select.POLLRDHUP)
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                if until_ns is not None and event.time_ns > until_ns:
                    return
                yield event
            left_ms = None
            if until_ns is not None:
                left_ns = until_ns - time.time_ns()
                if left_ns <= 0:
                    return
                left_ms = min(left_ns // 1_000_000 + 1, _LONGEST_POLL_MS)
            ready = [fd for fd, _ in poller.poll(left_ms)]
            if give_up_fd in ready:
                return
            if self._wake_fd in ready:
                os.eventfd_read(self._wake_fd)

    def close(self) -> None:
        """Listen no more."""
        self._bus.leave(self)
        self._is_closed = True
        os.close(self._wake_fd)
