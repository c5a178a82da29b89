"""Ctrl-C while things go on, and `up` in the foreground."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

Entry = Callable[..., dict[str, Any]]
Spawn = Callable[..., Any]
APPLY = "POST /stackctl/v1/stacks/shop/apply"
FIRST = {"event": "apply", "id": "a1"}
OK = {"event": "end", "ok": True, "error": None}
CANCELLED = {
    "event": "end",
    "ok": False,
    "error": {"kind": "ApplyError", "code": "cancelled", "message": "cancelled"},
}


class Stack:
    """A stack of two containers that run until they are stopped."""

    def __init__(self, engine: Any, entry: Entry) -> None:
        self.engine, self.entry = engine, entry
        self.ended = {name: threading.Event() for name in ("web", "db")}
        self.codes = {"web": 0, "db": 0}
        self.cancelled = threading.Event()
        self.verbs: list[str] = []
        self.stop_hangs = False
        self.up_hangs = False
        engine.on(APPLY, self.apply)
        engine.on("POST /stackctl/v1/applies/a1/cancel", self.cancel)
        engine.on("POST /containers/.*/kill", self.kill)
        engine.on("GET /containers/json", lambda e: e.answer([self.listed(name) for name in self.ended]))
        for name in self.ended:
            engine.on(f"GET /containers/{name}.*/logs", lambda e, name=name: self.logs(e, name))
            engine.on(f"GET /containers/{name}.*/json", lambda e, name=name: self.inspect(e, name))

    def listed(self, name: str) -> dict[str, Any]:
        if self.ended[name].is_set():
            return self.entry(name, state="exited", status=f"Exited ({self.codes[name]}) 1 second ago")
        return self.entry(name)

    def apply(self, exchange: Any) -> None:
        verb = exchange.json["verb"]
        self.verbs.append(verb)
        exchange.begin_lines()
        exchange.line(FIRST)
        if verb == "up" and self.up_hangs:
            exchange.line(
                {
                    "event": "step",
                    "n": 1,
                    "action": "StartContainer",
                    "title": "start shop-db-1",
                    "state": "started",
                }
            )
            assert self.cancelled.wait(10)
            exchange.line(CANCELLED)
        elif verb == "stop":
            exchange.line(
                {
                    "event": "step",
                    "n": 1,
                    "action": "StopContainer",
                    "title": "stop shop-web-1",
                    "state": "started",
                }
            )
            if self.stop_hangs:
                assert all(event.wait(10) for event in self.ended.values())
            for event in self.ended.values():
                event.set()
            exchange.line(OK)
        else:
            exchange.line(OK)
        exchange.end()

    def cancel(self, exchange: Any) -> None:
        exchange.answer()
        self.cancelled.set()

    def kill(self, exchange: Any) -> None:
        self.verbs.append("SIGKILL")
        exchange.answer(status=204)
        self.ended["web" if "/web" in exchange.target else "db"].set()

    def logs(self, exchange: Any, name: str) -> None:
        kind = b"Content-Type: application/vnd.docker.multiplexed-stream\r\n"
        exchange.socket.sendall(b"HTTP/1.1 200 OK\r\n" + kind + b"Transfer-Encoding: chunked\r\n\r\n")
        text = f"{name} is up\n".encode()
        exchange.chunk(b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text)
        assert self.ended[name].wait(10)
        exchange.end()

    def inspect(self, exchange: Any, name: str) -> None:
        state = "exited" if self.ended[name].is_set() else "running"
        exchange.answer({"State": {"Status": state, "ExitCode": self.codes[name]}})


@pytest.fixture
def stack(engine: Any, entry: Entry) -> Stack:
    """Two containers, web and db."""
    return Stack(engine, entry)


def read_lines(stream: Any, *wanted: bytes) -> bytes:
    text = b""
    while not all(line in text for line in wanted):
        line = stream.readline()
        assert line, text
        text += line
    return text


BOTH = (b"web-1  | web is up\n", b"db-1   | db is up\n")


def test_up_shows_logs_until_all_have_ended_and_exits_with_zero(stack: Stack, spawn: Spawn) -> None:
    stack.codes["web"] = 3
    process = spawn("up")
    read_lines(process.stdout, *BOTH)
    for event in stack.ended.values():
        event.set()
    rest = process.stdout.read()
    assert process.wait(timeout=10) == 0
    assert sorted(rest.splitlines()) == [b"db-1 exited with code 0", b"web-1 exited with code 3"]


def test_ctrl_c_stops_in_graph_order_and_exits_with_130(stack: Stack, spawn: Spawn) -> None:
    process = spawn("up", "-t", "2")
    read_lines(process.stdout, *BOTH)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr.read() == (
        "Gracefully stopping… (press Ctrl+C again to force)\n Container shop-web-1  Stopping\n".encode()
    )
    assert stack.verbs == ["up", "stop"]
    body = stack.engine.bodies[APPLY]
    assert (body["document"], body["timeout_s"]) == (None, 2.0)
    assert b"web-1 exited with code 0\n" in process.stdout.read()


def test_a_second_ctrl_c_kills(stack: Stack, spawn: Spawn) -> None:
    stack.stop_hangs = True
    process = spawn("up")
    read_lines(process.stdout, *BOTH)
    process.send_signal(signal.SIGINT)
    read_lines(process.stderr, b"Stopping\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert stack.verbs == ["up", "stop", "SIGKILL", "SIGKILL"]


def test_ctrl_c_during_a_foreground_up_cancels_and_stops(stack: Stack, spawn: Spawn) -> None:
    stack.up_hangs = True
    process = spawn("up")
    read_lines(process.stderr, b"Starting\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 130
    assert stack.cancelled.is_set()
    assert stack.verbs == ["up", "stop"]


def test_ctrl_c_during_a_detached_up_cancels_and_stops_nothing(stack: Stack, spawn: Spawn) -> None:
    stack.up_hangs = True
    process = spawn("up", "-d")
    read_lines(process.stderr, b"Starting\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr.read() == "cancelling… (press Ctrl+C again to stop waiting)\n".encode()
    assert (stack.cancelled.is_set(), stack.verbs) == (True, ["up"])


def test_a_client_that_is_killed_cancels_nothing(stack: Stack, spawn: Spawn) -> None:
    stack.up_hangs = True
    process = spawn("up", "-d")
    read_lines(process.stderr, b"Starting\n")
    process.kill()
    process.wait()
    assert not stack.cancelled.is_set()
    stack.cancelled.set()


def test_one_that_ends_may_stop_the_others(stack: Stack, spawn: Spawn) -> None:
    stack.codes["web"] = 5
    process = spawn("up", "--abort-on-container-exit")
    read_lines(process.stdout, *BOTH)
    stack.ended["web"].set()
    assert process.wait(timeout=10) == 5
    assert stack.verbs == ["up", "stop"]


def test_the_exit_code_may_be_that_of_one_service(stack: Stack, spawn: Spawn) -> None:
    stack.codes.update(web=5, db=143)
    process = spawn("up", "--exit-code-from", "db")
    read_lines(process.stdout, *BOTH)
    stack.ended["web"].set()
    assert process.wait(timeout=10) == 143


def test_ctrl_c_ends_following_logs_with_130(stack: Stack, spawn: Spawn) -> None:
    process = spawn("logs", "-f")
    read_lines(process.stdout, *BOTH)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr.read().strip() == b""
    for event in stack.ended.values():
        event.set()


def test_following_logs_ends_when_nobody_reads(stack: Stack, spawn: Spawn) -> None:
    process = spawn("logs", "-f")
    read_lines(process.stdout, b"is up\n")
    process.stdout.close()
    stack.ended["db"].set()
    stack.ended["web"].set()
    assert process.wait(timeout=10) in (0, 1)
    assert b"Traceback" not in process.stderr.read()
