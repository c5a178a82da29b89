"""Published ports over IPv6, which networks do not speak."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.support.engine import Engine
from tests.support.stack import FOREVER, Stack, stack_in

_SERVE = "while true; do nc -l -p 9000 -e cat; done & httpd -f -h /etc"
_MUCH = os.urandom(1 << 20) * 8


@pytest.fixture
def stack(shared_engine: Engine, tmp_path: Path) -> Iterator[Stack]:
    """A stack ``six``."""
    with stack_in(shared_engine, tmp_path / "six", "six") as own:
        yield own


def _free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        port: int = probe.getsockname()[1]
        return port


def _answer(port: int, request: bytes) -> bytes:
    with socket.create_connection(("::1", port), timeout=10) as client:

        def send() -> None:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)

        Thread(target=send).start()
        pieces = []
        while piece := client.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)


@pytest.mark.changes_shared_engine
def test_ports_answer_over_ipv6(stack: Stack) -> None:
    every, own, echo = _free_port(), _free_port(), _free_port()
    ports = [f"{every}:80", f"[::1]:{own}:80", f"{echo}:9000"]
    stack.write({"web": {**FOREVER, "command": ["sh", "-c", _SERVE], "ports": ports}})
    stack.run("up", "-d")
    is_up = "until netstat -ltn | grep -q :80 && netstat -ltn | grep -q :9000; do :; done"
    stack.run("exec", "-T", "web", "sh", "-c", is_up)

    for port in (every, own):
        assert b"root:" in _answer(port, b"GET /passwd HTTP/1.0\r\n\r\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own), timeout=10)
    assert _answer(echo, _MUCH) == _MUCH
    stack.run("exec", "-T", "web", "sh", "-c", is_up)

    with socket.create_connection(("::1", echo), timeout=10) as client:
        client.sendall(b"first")
        assert client.recv(5) == b"first"
        os.kill(stack.engine.pid("supervisor"), signal.SIGKILL)
        client.sendall(b"still")
        assert client.recv(5) == b"still"
        deadline = time.monotonic() + 10
        while not _is_answered(every):
            assert time.monotonic() < deadline

        stack.run("stop", "-t", "0")
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", every), timeout=10)


def _is_answered(port: int) -> bool:
    try:
        return b"root:" in _answer(port, b"GET /passwd HTTP/1.0\r\n\r\n")
    except OSError:
        return False
