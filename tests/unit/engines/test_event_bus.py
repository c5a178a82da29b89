"""Who listens gets what was remembered, in order, and what comes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from stackctl.engines import events
from stackctl.engines.events import EventBus
from stackctl.runtime.supervisor_client import SupervisorClient

FAR_NS = 4_070_908_800 * 10**9


@pytest.fixture
def bus() -> EventBus:
    return EventBus(SupervisorClient("/nowhere"))


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """Our end of a client's connection; the other one is open as long."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def tell(bus: EventBus, *actions: str) -> None:
    for action in actions:
        bus.tell("volume", action, "v")


def test_the_past_comes_first_and_ends_where_it_is_to(bus: EventBus, client: socket.socket) -> None:
    tell(bus, "create", "mount")
    listener = bus.subscribe(since_ns=0)
    now = time.time_ns()

    assert [event.action for event in listener.read(give_up_fd=client.fileno(), until_ns=now)] == ["create", "mount"]
    listener.close()


def test_without_a_since_only_what_comes_counts(bus: EventBus, client: socket.socket) -> None:
    tell(bus, "create")
    listener = bus.subscribe()
    threading.Thread(target=tell, args=(bus, "destroy")).start()

    assert next(listener.read(give_up_fd=client.fileno(), until_ns=FAR_NS)).action == "destroy"
    listener.close()
    assert bus.count() == 0


def test_a_client_that_leaves_ends_it(bus: EventBus) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        listener = bus.subscribe()
        threading.Thread(target=theirs.close).start()

        assert list(listener.read(give_up_fd=ours.fileno())) == []
        listener.close()


def test_what_is_remembered_is_bounded_and_so_is_what_waits(
    bus: EventBus, client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST_WAITING", 3)
    slow = bus.subscribe()
    tell(bus, *(str(number) for number in range(events.MOST_KEPT + 5)))
    past = bus.subscribe(since_ns=0)

    waiting = [event.action for event in slow.read(give_up_fd=client.fileno(), until_ns=time.time_ns())]
    remembered = [event.action for event in past.read(give_up_fd=client.fileno(), until_ns=time.time_ns())]
    assert waiting == ["0", "1", "2"]
    assert (len(remembered), remembered[0]) == (events.MOST_KEPT, "5")
    slow.close()
    past.close()
