"""What is measured. A measure runs once on one side, leaves nothing behind, and returns values by name."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import stacks
from benchmarks.processes import activity, pss_mib
from benchmarks.sides import Side, command, timed

Values = Mapping[str, float]
_REQUESTS = 2000
_LOOKUPS = 3000
_IDLE_S = 60.0
_LOG_BYTES = 500_000_000
_WAIT_S = 300.0
_LOOK_S = 0.005
_ATTEMPTS = 4
_INSIDE = Path(__file__).parent / "inside"


class Measure(NamedTuple):
    """``runs`` is how often it is repeated unless asked otherwise; ``unit`` says how to read its values."""

    act: Callable[[Side, Path], Values]
    runs: int
    unit: str
    about: str


@contextmanager
def _up(side: Side, folder: Path, services: Mapping[str, Any]) -> Iterator[Path]:
    stacks.write_stack(folder, services)
    try:
        command(side, folder, "up", "-d")
        yield folder
    finally:
        _clear(side, folder)


def _clear(side: Side, folder: Path) -> None:
    """Take the stack down for good. An engine may find a network busy whose last container it is still removing."""
    for attempt in range(_ATTEMPTS):
        try:
            command(side, folder, "down", "-v", "-t", "0", "--remove-orphans")
            break
        except RuntimeError as error:
            if attempt == _ATTEMPTS - 1:
                print(f"not all of a stack could be removed: {error}", file=sys.stderr)
            time.sleep(1)
    shutil.rmtree(folder)


def _life(count: int) -> Callable[[Side, Path], Values]:
    def act(side: Side, folder: Path) -> Values:
        stacks.write_stack(folder, stacks.many(count))
        values = {}
        try:
            values[f"up of {count}"] = timed(side, folder, "up", "-d")
            values[f"up again of {count}"] = timed(side, folder, "up", "-d")
            values[f"ps of {count}"] = timed(side, folder, "ps")
        finally:
            values[f"down of {count}"] = _timed_down(side, folder)
        _clear(side, folder)
        return values

    return act


def _timed_down(side: Side, folder: Path) -> float:
    """Return how long a `down` takes; an end that failed is as long as one that did not."""
    began = time.perf_counter()
    with suppress(RuntimeError):
        command(side, folder, "down")
    return time.perf_counter() - began


def _cold(side: Side, folder: Path) -> Values:
    """Only ours can be without an engine: the first command starts it."""
    if side.name != "stackctl":
        return {}
    folder.mkdir()
    command(side, folder, "engine", "stop")
    with _timed_up(side, folder) as took_s:
        return {"up of 1, engine not running": took_s}


@contextmanager
def _timed_up(side: Side, folder: Path) -> Iterator[float]:
    stacks.write_stack(folder, stacks.many(1))
    took_s = timed(side, folder, "up", "-d")
    try:
        yield took_s
    finally:
        _clear(side, folder)


def _commands(side: Side, folder: Path) -> Values:
    with _up(side, folder, stacks.many(2)):
        return {
            "exec": timed(side, folder, "exec", "-T", "s001", "true"),
            "run --rm": timed(side, folder, "run", "--rm", "-T", "s001", "true"),
            "config": timed(side, folder, "config", "-q"),
            "config again": timed(side, folder, "config", "-q"),
        }


def _change(side: Side, folder: Path) -> Values:
    services = stacks.many(50)
    with _up(side, folder, services):
        changed = {**services, "s025": stacks.service(environment={"VERSION": "2"})}
        stacks.write_stack(folder, changed)
        return {"change one of 50": timed(side, folder, "up", "-d")}


def _scale(side: Side, folder: Path) -> Values:
    with _up(side, folder, stacks.many(1)):
        return {"scale 1 to 20": timed(side, folder, "up", "-d", "--scale", "s001=20")}


def _memory(side: Side, folder: Path) -> Values:
    values = {"memory with 0 containers": pss_mib(side.engine_pids())}
    for count in (50, 100):
        with _up(side, folder, stacks.many(count)):
            values[f"memory with {count} containers"] = pss_mib(side.engine_pids())
    return values


def _idle(side: Side, folder: Path) -> Values:
    with _up(side, folder, stacks.many(50)):
        time.sleep(2)  # what `up` left to be done in the background is not idling
        pids = side.engine_pids()
        before = activity(pids)
        time.sleep(_IDLE_S)
        after = activity(pids)
    return {
        "idle 60 s with 50: CPU ms": (after.cpu_s - before.cpu_s) * 1000,
        "idle 60 s with 50: wake-ups": after.sleeps - before.sleeps,
    }


def _logs(side: Side, folder: Path) -> Values:
    folder.mkdir()
    data = folder / "data"
    data.mkdir()
    line = b"x" * 99 + b"\n"
    with open(data / "log", "wb") as file:
        for _ in range(_LOG_BYTES // 1_000_000):
            file.write(line * 10_000)
    script = "touch /data/begun; cat /data/log; touch /data/done; sleep 86400"
    writer = stacks.service(command=["sh", "-c", script], volumes=[f"{data}:/data"], stop_signal="SIGKILL")
    with _up(side, folder, {"writer": writer}):
        _wait_for(data / "done")
        took_s = (data / "done").stat().st_mtime - (data / "begun").stat().st_mtime
    return {"500 MB of logs": took_s}


def _requests(side: Side, folder: Path) -> Values:
    port = _free_port()
    services = {
        "web": stacks.with_python("server.py", ports=[f"{port}:8000"]),
        "asker": stacks.with_python("server.py"),
    }
    with _up(side, folder, services):
        _wait_for_answer(port)
        client = ("/usr/bin/python3", "-IS", "/bench/client.py")
        inside = command(side, folder, "exec", "-T", "asker", *client, "web", "8000", str(_REQUESTS))
        return {
            "requests/s, 127.0.0.1": _ask("127.0.0.1", port),
            "requests/s, host address": _ask(_host_address(), port),
            "requests/s, container to container": float(inside),
        }


def _dns(side: Side, folder: Path) -> Values:
    services = {"web": stacks.service(), "asker": stacks.with_python("server.py")}
    with _up(side, folder, services):
        script = ("/usr/bin/python3", "-IS", "/bench/lookups.py", "web", str(_LOOKUPS))
        return {"DNS lookups/s": float(command(side, folder, "exec", "-T", "asker", *script))}


def _health(side: Side, folder: Path) -> Values:
    stacks.write_stack(folder, stacks.chain(10))
    try:
        return {"health chain of 10": timed(side, folder, "up", "-d", "--wait")}
    finally:
        _clear(side, folder)


def _ask(host: str, port: int) -> float:
    asked = [sys.executable, "-IS", str(_INSIDE / "client.py"), host, str(port), str(_REQUESTS)]
    return float(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_WAIT_S).stdout)


def _host_address() -> str:
    """Return the first address of this machine that is not its loopback's; that when there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing: only asks for the route
        except OSError:
            return "127.0.0.1"
        found: str = sock.getsockname()[0]
        return found


def _free_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _wait_for_answer(port: int) -> None:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                if sock.recv(4096):
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_S)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path.name} did not appear")
        time.sleep(_LOOK_S)


MEASURES: Mapping[str, Measure] = {
    "life-1": Measure(_life(1), 7, "s", "up, up again, ps, down of 1 service"),
    "life-10": Measure(_life(10), 5, "s", "the same of 10"),
    "life-50": Measure(_life(50), 3, "s", "the same of 50"),
    "life-200": Measure(_life(200), 1, "s", "the same of 200"),
    "cold": Measure(_cold, 3, "s", "up of 1 that starts the engine first (ours only)"),
    "commands": Measure(_commands, 5, "s", "exec, run --rm, config, config again"),
    "change": Measure(_change, 3, "s", "up after one of 50 services changed"),
    "scale": Measure(_scale, 3, "s", "scale a service from 1 to 20"),
    "health": Measure(_health, 3, "s", "up --wait of 10, each after the one before is healthy, interval 1 s"),
    "logs": Measure(_logs, 3, "s", "500 MB written to standard output"),
    "memory": Measure(_memory, 1, "MiB", "memory (PSS) of all the engine's processes"),
    "idle": Measure(_idle, 1, "", "CPU time and wake-ups in 60 s with 50 idle containers"),
    "requests": Measure(_requests, 3, "/s", "requests a second, one connection each, one at a time"),
    "dns": Measure(_dns, 3, "/s", "lookups of a service's name a second"),
}
