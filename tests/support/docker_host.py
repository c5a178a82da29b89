"""A Docker Engine of the tests' own: its data in a folder, its mounts and processes in namespaces that end with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 60.0
_NEEDED = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "iptables")
# The daemon would be first process of its namespace, and leave orphans as zombies.
_INIT = 'dockerd "$@" & daemon=$!; trap "kill $daemon" TERM; wait $daemon; wait $daemon'
_CGROUP = "stackctl-test-docker"


@dataclass(frozen=True)
class DockerHost:
    """A Docker Engine that runs. ``url`` is what ``--engine`` and DOCKER_HOST take."""

    folder: Path

    @property
    def socket(self) -> Path:
        """The socket of its API."""
        return self.folder / "docker.sock"

    @property
    def url(self) -> str:
        """The engine's address."""
        return f"unix://{self.socket}"

    def docker(self, *arguments: str) -> str:
        """Run ``docker`` with the engine; return what it says."""
        done = subprocess.run(["docker", "-H", self.url, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load(self, archive: Path) -> None:
        """Load images."""
        self.docker("load", "-q", "-i", str(archive))


@contextlib.contextmanager
def running_docker(
    folder: Path, *options: str, namespaces: Sequence[str] = (), first: str = ""
) -> Iterator[DockerHost]:
    """Have a Docker Engine until the end of the block.

    ``namespaces`` are further ones it gets of its own, as options of ``unshare``; ``first`` is a command run in them.

    It leaves the machine's firewall alone, so containers reach each other but not the outside; published ports are
    carried by its proxy. Storage is plain copies, for it may lie on a file system without overlays.
    """
    missing = [name for name in _NEEDED if shutil.which(name, path=_path()) is None]
    if missing:
        pytest.fail(
            f"a Docker Engine is needed, and {', '.join(missing)} not found: apt-get download, dpkg -x docker.io"
        )
    folder.mkdir(parents=True, exist_ok=True)
    host = DockerHost(folder)
    argv = [
        "unshare", "--mount", "--pid", *namespaces, "--fork", "--kill-child", "--mount-proc",
        "sh", "-c", f"{first}\n{_INIT}", "dockerd",
        "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid",
        "--host", host.url, "--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip-forward=false",
        "--cgroup-parent", f"/{_CGROUP}", "--exec-opt", "native.cgroupdriver=cgroupfs", *options,
    ]  # fmt: skip
    for place in _cgroups():  # else the first container's would be what it left behind
        place.mkdir(exist_ok=True)
    with open(folder / "log", "wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, "PATH": _path()})
    try:
        _wait_for(host, daemon)
        yield host
    finally:
        _end(host, daemon)
        _remove_cgroups()


@contextlib.contextmanager
def running_swarm(folder: Path) -> Iterator[DockerHost]:
    """Have a Swarm of one machine, with a network stack of its own, until the end of the block."""
    link = "ip link set lo up; ip link add up0 type bridge; ip address add 10.77.0.1/24 dev up0; ip link set up0 up"
    with running_docker(folder, namespaces=("--net",), first=link) as host:
        host.docker("swarm", "init", "--advertise-addr", "10.77.0.1")
        yield host


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def _wait_for(host: DockerHost, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while not host.socket.exists():
        if daemon.poll() is not None or time.monotonic() > deadline:
            pytest.fail("dockerd did not start:\n" + (host.folder / "log").read_text(errors="replace")[-3000:])
        time.sleep(0.05)


def _end(host: DockerHost, daemon: subprocess.Popen[bytes]) -> None:
    """End the daemon: at once where nothing of it is left outside of its namespaces, which go with it."""
    with contextlib.suppress(AssertionError):
        if daemon.poll() is None and (
            host.docker("ps", "-q") or host.docker("network", "ls", "-q", "-f", "type=custom")
        ):
            # Our child is unshare; its only child is the first process of the namespace.
            children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            for pid in map(int, children):
                os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=20)
    daemon.kill()
    daemon.wait()


def _cgroups() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    tops = [top] if (top / "cgroup.controllers").exists() else [place for place in top.iterdir() if place.is_dir()]
    return [place / _CGROUP for place in tops if not place.is_symlink()]


def _remove_cgroups() -> None:
    for place in _cgroups():
        for below, _, _ in os.walk(place, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(below)
