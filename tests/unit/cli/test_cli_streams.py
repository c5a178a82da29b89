"""exec and run: streams, terminals, signals, exit codes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., tuple[int, str, str]]
Entry = Callable[..., dict[str, Any]]
Spawn = Callable[..., Any]


def framed(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def echo_until_end(exchange: Any) -> None:
    """A process that writes what it reads in capitals, and ends with its input."""
    exchange.hijack(is_framed=True)
    while data := exchange.socket.recv(1000):
        exchange.socket.sendall(framed(1, data.upper()))
    exchange.socket.sendall(framed(2, b"done\n"))


@pytest.fixture
def web(engine: Any, entry: Entry) -> Any:
    """An engine with one running replica of web, and a process to exec."""
    engine.containers = [entry("web"), entry("web", 2)]
    engine.on("POST /containers/web.*/exec", lambda e: e.answer({"Id": "e1"}, 201))
    engine.on("POST /exec/e1/resize", lambda e: e.answer(status=200))
    engine.on("POST /exec/e1/start", echo_until_end)
    engine.on("GET /exec/e1/json", lambda e: e.answer({"Running": False, "ExitCode": 7}))
    return engine


def test_exec_passes_streams_on_and_exits_as_the_command_does(web: Any, spawn: Spawn) -> None:
    process = spawn(
        "exec",
        "-e",
        "A=1",
        "-e",
        "HOME",
        "-e",
        "NOT_SET_HERE",
        "-u",
        "app",
        "-w",
        "/srv",
        "web",
        "sh",
        "-c",
        "x",
    )
    out, err = process.communicate(b"hello\n", timeout=10)
    assert (process.returncode, out, err) == (7, b"HELLO\n", b"done\n")
    body = web.bodies[f"POST /containers/{web.containers[0]['Id']}/exec"]
    assert (body["Cmd"], body["User"], body["WorkingDir"]) == (["sh", "-c", "x"], "app", "/srv")
    assert body["Env"] == ["A=1", f"HOME={os.environ['HOME']}"]
    assert (body["Tty"], body["AttachStdin"]) == (False, True)


def test_exec_in_a_chosen_replica(web: Any, call: Call) -> None:
    web.on("POST /exec/e1/start", lambda e: e.answer())
    assert call("exec", "-d", "--index", "2", "web", "true") == (0, "", "")
    assert f"POST /containers/{web.containers[1]['Id']}/exec" in web.bodies
    assert call("exec", "--index", "3", "web", "true")[0] == 1


class Terminal:
    """The user's side of a pseudo-terminal."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.text = b""

    def read_until(self, wanted: bytes) -> None:
        deadline = time.monotonic() + 10
        while wanted not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, self.text
            self.text += os.read(self.master, 4096)

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Any:
    """A terminal of 33 lines and 99 columns."""
    opened = Terminal()
    yield opened
    opened.close()


def raw_shell(exchange: Any) -> None:
    """A process on a terminal: shows what it gets, ends at Ctrl-D."""
    exchange.hijack(is_framed=False)
    exchange.socket.sendall(b"ready\r\n")
    while (data := exchange.socket.recv(1000)) and b"\x04" not in data:
        exchange.socket.sendall(b"<" + data.hex().encode() + b">")


def test_exec_on_a_terminal_is_raw_and_gives_the_terminal_back(web: Any, spawn: Spawn, terminal: Terminal) -> None:
    web.on("POST /exec/e1/start", raw_shell)
    process = spawn("exec", "web", "sh", stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave)
    terminal.read_until(b"ready")
    assert terminal.is_raw
    os.write(terminal.master, b"\x03")  # Ctrl-C is the process's
    terminal.read_until(b"<03>")
    web.wait_for(r"POST /exec/e1/resize\?h=33&w=99")
    ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
    process.send_signal(signal.SIGWINCH)
    web.wait_for(r"POST /exec/e1/resize\?h=20&w=70")
    os.write(terminal.master, b"\x04")
    assert process.wait(timeout=10) == 7
    assert not terminal.is_raw
    assert web.bodies[f"POST /containers/{web.containers[0]['Id']}/exec"]["Tty"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_comes_back_when_the_client_is_ended(
    web: Any, spawn: Spawn, terminal: Terminal, number: signal.Signals
) -> None:
    web.on("POST /exec/e1/start", raw_shell)
    process = spawn("exec", "web", "sh", stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave)
    terminal.read_until(b"ready")
    process.send_signal(number)
    assert process.wait(timeout=10) == 130
    assert not terminal.is_raw


def test_output_into_a_pipe_gets_no_terminal(web: Any, spawn: Spawn, terminal: Terminal) -> None:
    process = spawn("exec", "--no-interactive", "web", "sh", stdin=terminal.slave)
    web.wait_for("POST /exec/e1/start")
    assert web.bodies[f"POST /containers/{web.containers[0]['Id']}/exec"]["Tty"] is False
    process.kill()


class OneOff:
    """What `run` makes: attached, started, waited for."""

    def __init__(self, engine: Any, code: int) -> None:
        self.started = threading.Event()
        self.killed = threading.Event()
        self.signals: list[str] = []
        engine.on_apply({"event": "end", "ok": True, "error": None, "container": "c9"}, verb="run")
        engine.on("POST /containers/c9/attach", self.attach)
        engine.on("POST /containers/c9/start", self.start)
        engine.on("POST /containers/c9/kill", self.kill)
        engine.on("POST /containers/c9/wait", lambda e: e.answer({"StatusCode": code}))
        engine.on("POST /containers/c9/resize", lambda e: e.answer())
        engine.on("DELETE /containers/c9", lambda e: e.answer(status=204))
        self.waits_for_kill = False

    def attach(self, exchange: Any) -> None:
        exchange.hijack(is_framed=True)
        assert self.started.wait(10)
        exchange.socket.sendall(framed(1, b"out\n") + framed(2, b"err\n"))
        if self.waits_for_kill:
            assert self.killed.wait(10)

    def start(self, exchange: Any) -> None:
        exchange.answer(status=204)
        self.started.set()

    def kill(self, exchange: Any) -> None:
        found = re.search(r"signal=(\w+)", exchange.target)
        assert found is not None
        self.signals.append(found[1])
        exchange.answer(status=204)
        if found[1] == "SIGKILL":
            self.killed.set()


def test_run_attaches_before_it_starts_and_removes_afterwards(engine: Any, shop: Path, spawn: Spawn) -> None:
    OneOff(engine, code=3)
    process = spawn(
        "run",
        "--rm",
        "-p",
        "80:80",
        "-v",
        "./data:/data",
        "-v",
        "named:/n",
        "--entrypoint",
        "sh -c",
        "tool",
        "echo",
        "-n",
    )
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (3, b"out\n", b"err\n")
    order = [re.split("[?/]", asked.split()[1])[3] for asked in engine.asked if "/containers/c9/" in asked]
    assert order == ["attach", "start", "wait"]
    assert engine.asked[-1].startswith("DELETE /containers/c9?force=1")
    body = engine.bodies["POST /stackctl/v1/stacks/shop/run"]
    assert (body["service"], body["command"], body["entrypoint"]) == ("tool", ["echo", "-n"], ["sh", "-c"])
    assert (body["publish"], body["volumes"]) == (["80:80"], [f"{shop}/data:/data", "named:/n"])
    assert "tool" in body["document"]["tree"]["services"]  # its profile is switched on


def test_signals_go_to_the_container_and_the_third_kills(engine: Any, spawn: Spawn) -> None:
    oneoff = OneOff(engine, code=137)
    oneoff.waits_for_kill = True
    process = spawn("run", "web")
    assert process.stdout.readline() == b"out\n"
    for count in (1, 2, 3):
        process.send_signal(signal.SIGINT if count != 2 else signal.SIGTERM)
        deadline = time.monotonic() + 10
        while len(oneoff.signals) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert process.wait(timeout=10) == 137
    assert oneoff.signals == ["SIGINT", "SIGTERM", "SIGKILL"]


def test_run_detached_prints_the_id(engine: Any, call: Call) -> None:
    OneOff(engine, code=0)
    assert call("run", "-d", "web") == (0, "c9\n", "")
    assert call("run", "-d", "--rm", "web")[0] == 1


def test_dependencies_that_fail_stop_a_run(engine: Any, call: Call) -> None:
    error = {"kind": "ApplyError", "code": "apply", "message": "db is unhealthy"}
    engine.on_apply({"event": "end", "ok": False, "error": error}, verb="run")
    assert call("run", "web") == (1, "", "error[apply]: db is unhealthy\n")
