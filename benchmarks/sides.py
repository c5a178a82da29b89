"""The two sides of a comparison: our engine, and docker-compose with a Docker Engine of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

IMAGE = "stackctl-bench:latest"
COMMAND_TIMEOUT_S = 300.0
_START_S = 30.0
_DOCKER_NAMES = frozenset({"dockerd", "containerd", "containerd-shim", "docker-proxy", "runc"})


class Side(Protocol):
    """One way to run a stack."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]

    def engine_pids(self) -> list[int]:
        """Return the processes of the engine, containers' own left out."""
        ...

    def version(self) -> str:
        """Return what runs here, for the report."""
        ...


def command(side: Side, folder: Path, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Run a Compose command in ``folder``; return its standard output. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [*side.argv, *arguments],
        cwd=folder,
        env=side.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{side.name}: {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def timed(side: Side, folder: Path, *arguments: str) -> float:
    """Return how many seconds a Compose command takes."""
    began = time.perf_counter()
    command(side, folder, *arguments)
    return time.perf_counter() - began


class Ours:
    """stackctl, with a state root of its own."""

    name = "stackctl"

    def __init__(self, work: Path) -> None:
        self.argv: tuple[str, ...] = (str(Path(sys.executable).with_name("stackctl")),)
        self.environment = {**_environment(), "STACKCTL_ROOT": str(work / "stackctl")}

    def engine_pids(self) -> list[int]:
        """Return keeper, supervisor and daemon."""
        found: dict[str, int] = self._status()["pids"]
        return list(found.values())

    def version(self) -> str:
        """Return our version."""
        return f"stackctl {self._status()['version']}, Python {sys.version.split()[0]}"

    def _status(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = json.loads(command(self, Path("/"), "engine", "status", "--format", "json"))
        return found


class Docker:
    """docker-compose, with a Docker Engine started for this run alone."""

    name = "docker"

    def __init__(self, work: Path, compose: str) -> None:
        self.argv: tuple[str, ...] = (compose,)
        self.socket = f"{work}/docker.sock"
        self.exec_root = f"{work}/docker-exec"
        self.environment = {**_environment(), "DOCKER_HOST": f"unix://{self.socket}"}
        self.daemon: subprocess.Popen[bytes] | None = None

    def engine_pids(self) -> list[int]:
        """Return dockerd, containerd, the shims and the proxies."""
        assert self.daemon is not None
        mine = {self.daemon.pid}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            name = os.path.basename(argv[0]).split("-runc")[0]
            if name in _DOCKER_NAMES and (parent == self.daemon.pid or self.exec_root in " ".join(argv)):
                mine.add(pid)
        return sorted(mine)

    def version(self) -> str:
        """Return the versions of engine and client."""
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(asked, env=self.environment, capture_output=True, text=True, check=True)
        return f"Docker Engine {done.stdout.strip()}, {command(self, Path('/'), 'version').strip()}"


@contextmanager
def our_engine(work: Path, root_tar: Path) -> Iterator[Ours]:
    """Have our engine with the image, and stop it in the end."""
    side = Ours(work)
    try:
        command(side, work, "image", "import", str(root_tar), IMAGE)
        yield side
    finally:
        command(side, work, "engine", "stop", "--force")


@contextmanager
def docker_engine(work: Path, root_tar: Path) -> Iterator[Docker]:
    """Have a Docker Engine with the image, its data below ``work``, and stop it in the end."""
    side = Docker(work, docker_compose() or "docker-compose")
    argv = ["dockerd", "--data-root", f"{work}/docker-data", "--exec-root", side.exec_root, "--bridge", "none"]
    argv += ["--host", f"unix://{side.socket}", "--pidfile", f"{work}/docker.pid"]
    with open(work / "dockerd.log", "wb") as log:
        side.daemon = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait_for_docker(side)
        importing = ["docker", "import", str(root_tar), IMAGE]
        subprocess.run(importing, env=side.environment, stdout=subprocess.DEVNULL, check=True)
        yield side
    finally:
        side.daemon.send_signal(signal.SIGTERM)
        side.daemon.wait(_START_S)


def docker_is_here() -> str:
    """Return "" when the peer can run, else what is missing."""
    missing = [name for name in ("dockerd", "docker") if shutil.which(name) is None]
    if docker_compose() is None:
        missing.append("docker-compose")
    if missing:
        return f"{', '.join(missing)} not found"
    return "another Docker Engine runs here" if Path("/var/run/docker.sock").exists() else ""


def docker_compose() -> str | None:
    """Return the path of docker-compose, as pip or a package installed it."""
    beside = Path(sys.executable).with_name("docker-compose")
    return str(beside) if beside.exists() else shutil.which("docker-compose")


def _wait_for_docker(side: Docker) -> None:
    deadline = time.monotonic() + _START_S
    while subprocess.run(["docker", "info"], env=side.environment, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline or (side.daemon and side.daemon.poll() is not None):
            raise RuntimeError("dockerd did not start")
        time.sleep(0.1)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
