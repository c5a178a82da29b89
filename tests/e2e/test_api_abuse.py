"""Clients that misbehave on the engine's socket: it goes on, and keeps nothing of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.engine import Engine, wait_until
from tests.support.stack import FOREVER, Stack


@contextmanager
def _connected(engine: Engine) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(20)
        sock.connect(engine.status()["api"].removeprefix("unix://"))
        yield sock


def _holds(engine: Engine) -> tuple[int, int, int]:
    """Return the daemon's process id, and how many descriptors and threads it has."""
    pid = engine.pid("daemon")
    return pid, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def _settled(engine: Engine) -> tuple[int, int, int]:
    """The same, once the connection that asked is closed and nothing changes any more."""
    found: list[tuple[int, int, int]] = []

    def is_steady() -> bool:
        found.append(_holds(engine))
        return len(found) >= 3 and len(set(found[-3:])) == 1

    wait_until("the daemon is at rest", is_steady)
    return found[-1]


def _is_as_before(engine: Engine, before: tuple[int, int, int]) -> None:
    wait_until(f"the daemon holds no more than {before}", lambda: _no_more(_holds(engine), before))


def _no_more(now: tuple[int, int, int], before: tuple[int, int, int]) -> bool:
    return now[0] == before[0] and now[1] <= before[1] and now[2] <= before[2]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /_ping HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),  # no Host
        (b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + bytes(200_000).replace(b"\0", b"a") + b"\r\n\r\n", b"HTTP/1.1 4"),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
        (b"DELETE /_ping HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
        (b"POST /stackctl/v1/stacks/x/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{x}", b"HTTP/1.1 400"),
        (b"POST /stackctl/v1/stacks/x/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 400"),
        (b"GET /containers/json?filters=%7B HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /containers/nobody/json HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
    ],
)
def test_nonsense_is_answered_and_leaves_nothing(resident: Engine, sent: bytes, answer: bytes) -> None:
    before = _settled(resident)

    with _connected(resident) as sock:
        try:
            sock.sendall(sent)
            found = sock.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):  # it has heard enough before all was said
            found = answer

    assert found.startswith(answer)
    _is_as_before(resident, before)


def test_clients_that_leave_amid_a_stream_leave_nothing(stack: Stack) -> None:
    engine = stack.engine
    stack.write({"web": FOREVER})
    stack.run("up", "-d")
    before = _settled(engine)
    targets = [
        f"GET /containers/{stack.name}-web-1/logs?follow=1&stdout=1",
        f"POST /containers/{stack.name}-web-1/wait",
        f"POST /containers/{stack.name}-web-1/attach?stream=1&stdout=1&stdin=1",
    ]

    for target in targets:
        for _ in range(10):
            with _connected(engine) as sock:
                sock.sendall(f"{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
                if "/wait" not in target:
                    assert sock.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")

    _is_as_before(engine, before)


def test_slow_and_half_closed_clients_are_served(resident: Engine) -> None:
    before = _settled(resident)
    with _connected(resident) as sock:
        for piece in (b"GET /_p", b"ing HTTP/1.1\r\nHo", b"st: x\r\n", b"\r\n"):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)

        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"OK")
    _is_as_before(resident, before)


def test_who_says_nothing_keeps_nobody_else_waiting(resident: Engine) -> None:
    before = _settled(resident)
    with ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(_connected(resident))

        resident.run("-p", "nothing", "ps", "-q")

    _is_as_before(resident, before)
