"""A scripted engine on a unix socket, and the command line against it."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stackctl.cli.main import root, run

_HEAD = re.compile(rb"^(\w+) (\S+) HTTP/1.1\r\n", re.ASCII)


class Exchange:
    """One request, and the ways to answer it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionError
            data += piece
        head, _, self.body = data.partition(b"\r\n\r\n")
        found = _HEAD.match(head + b"\r\n")
        assert found is not None
        self.method, self.target = found[1].decode(), found[2].decode()
        length = re.search(rb"content-length: (\d+)", head.lower())
        while length and len(self.body) < int(length[1]):
            self.body += sock.recv(65536)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def answer(self, value: Any = None, status: int = 200) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def begin_lines(self) -> None:
        self.socket.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def line(self, value: Any) -> None:
        self.chunk(json.dumps(value).encode() + b"\n")

    def chunk(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")

    def lines(self, *values: Any) -> None:
        self.begin_lines()
        for value in values:
            self.line(value)
        self.end()

    def frames(self, *pieces: tuple[int, bytes]) -> None:
        self.socket.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for stream, data in pieces:
            self.chunk(frame(stream, data))
        self.end()

    def hijack(self, *, is_framed: bool) -> None:
        kind = "multiplexed" if is_framed else "raw"
        self.socket.sendall(
            b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            b"Content-Type: application/vnd.docker.%s-stream\r\n\r\n" % kind.encode()
        )


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


class ScriptedEngine:
    """Answers requests by the first route whose pattern matches ``METHOD /target``; keeps what was asked."""

    def __init__(self, path: str) -> None:
        self.address = f"unix://{path}"
        self.asked: list[str] = []
        self.bodies: dict[str, Any] = {}
        self.containers: list[dict[str, Any]] = []
        self._routes: list[tuple[str, Callable[[Exchange], None]]] = []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(16)
        self.on("GET /containers/json", lambda exchange: exchange.answer(self.containers))
        threading.Thread(target=self._serve, daemon=True).start()

    def on(self, pattern: str, act: Callable[[Exchange], None]) -> None:
        """Add a route; later ones win."""
        self._routes.insert(0, (pattern, act))

    def on_apply(self, *events: dict[str, Any], verb: str = "apply") -> None:
        """Answer applies with these events between the first and the last."""
        first, last = {"event": "apply", "id": "a1"}, {"event": "end", "ok": True, "error": None}
        ends = [] if events and events[-1].get("event") == "end" else [last]
        self.on(f"POST /stackctl/v1/stacks/.*/{verb}", lambda e: e.lines(first, *events, *ends))

    def wait_for(self, pattern: str) -> None:
        """Return once something like it was asked."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(re.match(pattern, a) for a in self.asked), timeout=10)

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock:
            try:
                exchange = Exchange(sock)
                asked = f"{exchange.method} {exchange.target}"
                if asked == "GET /_ping":  # each command first asks for the protocol; none says it is ours
                    exchange.answer()
                    return
                with self._changed:
                    self.asked.append(asked)
                    if exchange.body.startswith(b"{"):
                        self.bodies[asked] = exchange.json
                    self._changed.notify_all()
                for pattern, act in self._routes:
                    if re.match(pattern, asked):
                        act(exchange)
                        return
                exchange.answer({"message": f"no route for {asked}"}, 404)
            except (ConnectionError, BrokenPipeError):
                return


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEngine]:
    """An engine that runs, for commands called in this process or by ``spawn``."""
    # Not pytest's folder: a socket's path may not be longer than 108 bytes.
    with tempfile.TemporaryDirectory() as folder:
        scripted = ScriptedEngine(f"{folder}/api.sock")
        start = ModuleType("stackctl.engines.start")
        start.ensure_engine = lambda _environment: scripted.address  # type: ignore[attr-defined]
        start.engine_address = lambda _environment: scripted.address  # type: ignore[attr-defined]
        start.known_engine = lambda _environment: scripted.address  # type: ignore[attr-defined]
        start.await_end = lambda _environment: None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "stackctl.engines.start", start)
        yield scripted
        scripted.close()


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine runs, and none may be started."""
    start = ModuleType("stackctl.engines.start")
    start.engine_address = lambda _environment: None  # type: ignore[attr-defined]
    start.known_engine = lambda _environment: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stackctl.engines.start", start)


@pytest.fixture(autouse=True)
def shop(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stack file, as the current one, and an environment without surprises."""
    folder = tmp_path_factory.mktemp("stack") / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(
        "services:\n  web:\n    image: host\n    command: serve\n    depends_on: [db]\n"
        "  db:\n    image: host\n    command: store\n"
        "  tool:\n    image: host\n    profiles: [tools]\n"
    )
    monkeypatch.chdir(folder)
    for name in os.environ:
        if name.startswith(("COMPOSE_", "STACKCTL_", "NO_COLOR")):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; return exit status, standard output, standard error."""

    def act(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        status = run(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
        found = capfdbinary.readouterr()
        return status, found.out.decode(), found.err.decode()

    assert root.name == "root"
    return act


_BOOT = """
import sys, types
start = types.ModuleType("stackctl.engines.start")
start.ensure_engine = start.known_engine = start.engine_address = lambda environment: environment["TEST_ADDRESS"]
sys.modules["stackctl.engines.start"] = start
from stackctl.cli.entry import main
main()
"""


@pytest.fixture
def spawn(engine: ScriptedEngine) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command as a process of its own, against the scripted engine."""
    started: list[subprocess.Popen[bytes]] = []

    def act(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        streams = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        environment = {**os.environ, "TEST_ADDRESS": engine.address, **options.pop("env", {})}
        process = subprocess.Popen([sys.executable, "-c", _BOOT, *arguments], env=environment, **{**streams, **options})
        started.append(process)
        return process

    yield act
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """Make an entry of /containers/json."""

    def act(
        service: str = "web",
        number: int = 1,
        state: str = "running",
        status: str = "Up 3 seconds",
        **more: Any,
    ) -> dict[str, Any]:
        name = more.pop("name", f"shop-{service}-{number}")
        marks = {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": str(number),
            "com.docker.compose.oneoff": more.pop("oneoff", "False"),
        }
        return {
            "Id": more.pop("id", f"{service}{number}".ljust(64, "0")),
            "Names": [f"/{name}"],
            "Image": "host",
            "Command": "serve",
            "Created": 1_700_000_000,
            "Ports": [],
            "Labels": marks,
            "State": state,
            "Status": status,
            "Mounts": [],
            "NetworkSettings": {"Networks": {"shop_default": {}}},
            **more,
        }

    return act
