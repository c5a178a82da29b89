"""A real engine on a state root of its own, driven through the command line as a user drives it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TIMEOUT_S = 60.0
_WAIT_S = 20.0
_STACKCTL = Path(sys.executable).with_name("stackctl")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    argv: Sequence[str]
    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Return standard output as one JSON value."""
        return json.loads(self.out)

    def rows(self) -> list[Any]:
        """Return standard output as JSON values, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self) -> str:
        return f"$ {' '.join(self.argv)}\nexit status {self.status}\n--- out\n{self.out}--- err\n{self.err}"


@dataclass
class Engine:
    """An engine below ``root``. ``run`` raises unless the command ends with the status expected."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment that makes a command talk to this engine."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        own = {"STACKCTL_ROOT": str(self.root), "XDG_CACHE_HOME": f"{self.root}-cache"}
        return {**kept, **own, **self.environment, **(extra or {})}

    def run(
        self,
        *arguments: str,
        status: int | None = 0,
        cwd: Path | None = None,
        stdin: bytes | str = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
        under: Sequence[str] = (),
    ) -> Result:
        """Run ``stackctl`` to its end, by the command ``under`` if there is one. ``status`` None takes any."""
        typed = stdin.encode() if isinstance(stdin, str) else stdin
        argv = [*under, str(_STACKCTL), *arguments]
        done = subprocess.run(
            argv, input=typed, capture_output=True, cwd=cwd, env=self.variables(env), timeout=timeout_s, check=False
        )
        result = Result(
            ["stackctl", *arguments],
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        assert status is None or result.status == status, str(result)
        return result

    def start(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Begin ``stackctl`` in a session of its own; the caller ends it. ``options`` are Popen's."""
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "start_new_session": True,
            **options,
        }
        return subprocess.Popen([str(_STACKCTL), *arguments], cwd=cwd, env=self.variables(env), **settings)

    def run_once(self, folder: Path) -> None:
        """Run a container to its end, so that what an engine makes with its first one is there from now on."""
        text = "name: first\nservices:\n  it: {image: busybox, network_mode: none}\n"
        (folder / "compose.yaml").write_text(text, encoding="utf-8")
        self.run("run", "--rm", "-T", "it", "true", cwd=folder)

    def status(self) -> dict[str, Any]:
        """Return ``engine status`` as JSON."""
        found: dict[str, Any] = self.run("engine", "status", "--format", "json").json()
        return found

    def pid(self, role: str) -> int:
        """Return the process id of keeper, supervisor or daemon."""
        return int(self.status()["pids"][role])

    @property
    def live(self) -> Path:
        """What ends with the boot: sockets, journal."""
        return Path("/run/stackctl", (self.root / "engine-id").read_text(encoding="ascii"))

    def stop(self) -> None:
        """Stop the engine with all containers. What remains of it afterwards is a leak."""
        self.run("engine", "stop", "--force", status=None)


def wait_until(what: str, holds: Callable[[], object], *, timeout_s: float = _WAIT_S) -> Any:
    """Look again and again until ``holds()`` is true, and return it; fail, naming ``what``, at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"never came true in {timeout_s:g} s: {what}"
        time.sleep(0.02)


def kill_at_once(pids: Sequence[int]) -> None:
    """kill -9 processes of any parent, none of which sees another die; they are gone when this returns."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    for sent in (signal.SIGSTOP, signal.SIGKILL):
        for descriptor in descriptors:
            signal.pidfd_send_signal(descriptor, sent)
    for descriptor in descriptors:
        select.select([descriptor], [], [], _WAIT_S)
        os.close(descriptor)


def end(process: subprocess.Popen[bytes], *, sig: int = signal.SIGKILL) -> int:
    """Send a signal to a process of the test's own and wait for its end; return its code."""
    if process.poll() is None:
        process.send_signal(sig)
    return process.wait(_TIMEOUT_S)
