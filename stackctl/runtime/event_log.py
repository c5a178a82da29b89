"""What happened lately, in order, and who wants to hear what happens next.

Told where it happens, whoever asked for it. The history is bounded and ends with the supervisor.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stackctl.model.event import Event, EventKind

if TYPE_CHECKING:
    from stackctl.runtime.network_store import Network
    from stackctl.runtime.record import Container

MOST_KEPT: Final = 1024
Listener = Callable[[int, Event], None]


class EventLog:
    """Events numbered from 1; ``epoch`` differs from supervisor to supervisor, as their numbers begin anew."""

    def __init__(self) -> None:
        self.epoch = os.urandom(8).hex()
        self._kept: deque[tuple[int, Event]] = deque(maxlen=MOST_KEPT)
        self._count = 0
        self._listeners: list[Listener] = []

    def tell(self, kind: EventKind, action: str, subject: str, attributes: tuple[tuple[str, str], ...] = ()) -> None:
        """Record an event, and tell the listeners."""
        event = Event(kind=kind, action=action, id=subject, attributes=attributes, time_ns=time.time_ns())
        self._count += 1
        self._kept.append((self._count, event))
        for listener in list(self._listeners):
            listener(self._count, event)

    def tell_container(self, container: Container, action: str, **more: str) -> None:
        """Record an event of a container."""
        self.tell("container", action, container.id, container_attributes(container, **more))

    def tell_network(self, network: Network, action: str, container: Container | None = None) -> None:
        """Record an event of a network, or of a container's place on it."""
        who = (("container", container.id),) if container is not None else ()
        driver = network.spec.driver or "bridge"
        self.tell("network", action, network.id, (*who, ("name", network.spec.name), ("type", driver)))

    def follow(self, after: int, listener: Listener) -> None:
        """Call ``listener`` with each event numbered higher than ``after``, those of the past at once."""
        for number, event in list(self._kept):
            if number > after:
                listener(number, event)
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Tell a listener no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)


def container_attributes(container: Container, **more: str) -> tuple[tuple[str, str], ...]:
    """Return what an event says about a container: its labels, what is particular, its image and name."""
    spec = container.spec
    return (*spec.labels, *more.items(), ("image", spec.image_ref), ("name", spec.name))
