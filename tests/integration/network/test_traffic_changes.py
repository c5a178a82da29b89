"""Clients that go on asking while replicas come and go."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from stackctl.runtime.kernel.netns import in_netns
from tests.support.engine import wait_until
from tests.support.net_lab import HOST_ADDRESS

if TYPE_CHECKING:
    from .conftest import Town

# Listens a while after it was started; answers a while after it was asked.
SLOW = """\
import os, socket, threading, time
name = socket.gethostname()
time.sleep(float(os.environ["WARM"]))
listener = socket.create_server(("0.0.0.0", 80), backlog=256)
def serve(connection):
    with connection:
        if connection.recv(100):
            time.sleep(float(os.environ["SLOW"]))
            connection.sendall(name.encode())
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
"""
STACK = """
services:
  web:
    image: host
    init: true
    command: python3 -S -E /slow.py
    environment: {WARM: "0.3", SLOW: "SECONDS", VERSION: "1"}
    volumes: [./slow.py:/slow.py:ro]
    ports: ["8080:80"]
"""


@pytest.fixture
def web(town: Town) -> Iterator[Callable[..., None]]:
    """Bring the service up with so many replicas; takes it down at the end."""
    (town.folder / "slow.py").write_text(SLOW, encoding="utf-8")

    def up(replicas: int, *, slow_s: float = 0.0, version: str = "1", more: str = "") -> None:
        text = STACK.replace("SECONDS", str(slow_s)).replace('VERSION: "1"', f'VERSION: "{version}"')
        town.up("roll", text + more, "--scale", f"web={replicas}")

    yield up
    town.down("roll")


def request(town: Town) -> str:
    """Ask from outside, on a connection of its own; "" when it was closed without an answer."""
    with town.lab.client(town.lab.outside, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect((HOST_ADDRESS, 8080))
        client.sendall(b"?")
        return client.recv(100).decode()


def asked(town: Town, count: int) -> set[str]:
    """Ask so many times one after the other; return who answered, nobody where it was refused."""
    try:
        return {request(town) for _ in range(count)}
    except ConnectionRefusedError:
        return set()


@contextmanager
def clients(town: Town) -> Iterator[Counter[str]]:
    """Two clients that ask without pause, meanwhile; what they got is complete after the block."""
    outcomes: Counter[str] = Counter()
    is_over = threading.Event()

    def body() -> None:
        with in_netns(town.lab.outside):
            while not is_over.is_set():
                try:
                    outcomes[request(town) or "no answer"] += 1
                except OSError as failure:
                    outcomes[repr(failure)] += 1
                is_over.wait(0.003)

    threads = [threading.Thread(target=body) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def names(town: Town, *numbers: int) -> set[str]:
    return {town.name(f"roll-web-{number}") for number in numbers}


def test_no_request_fails_when_replicas_are_added(town: Town, web: Callable[..., None]) -> None:
    web(1)
    wait_until("it answers", lambda: asked(town, 1))
    with clients(town) as outcomes:
        web(3)
        everyone = names(town, 1, 2, 3)
        wait_until("all three answer", lambda: everyone <= set(outcomes))
    assert set(outcomes) == everyone


def test_requests_under_way_end_before_their_replica_does(town: Town, web: Callable[..., None]) -> None:
    web(3, slow_s=0.5)
    everyone = names(town, 1, 2, 3)
    wait_until("all three answer", lambda: asked(town, 3) == everyone)
    with clients(town) as outcomes:
        wait_until("requests are under way", lambda: outcomes.total() > 3)
        web(1, slow_s=0.5)
        staying = names(town, 1)
    assert set(outcomes) <= everyone
    assert asked(town, 3) == staying


def test_no_request_fails_when_replicas_are_replaced(town: Town, web: Callable[..., None]) -> None:
    web(2)
    wait_until("both answer", lambda: asked(town, 2) == names(town, 1, 2))
    before = names(town, 1, 2)
    with clients(town) as outcomes:
        web(2, version="2")
        after = names(town, 1, 2)
        wait_until("both new ones answer", lambda: after <= set(outcomes))
    assert before.isdisjoint(after)
    assert set(outcomes) <= before | after
