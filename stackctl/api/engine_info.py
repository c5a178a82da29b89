"""The engine as Docker's clients see it, and what is said of the parts that are not here. Source: Engine API 1.51."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from stackctl import __version__
from stackctl.api.connection import API_VERSION, MINIMUM_VERSION
from stackctl.api.routing import Answer, Route

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
# Builder-Version 1: builds are asked for at /build, and not over BuildKit's own protocol.
_PING_HEADERS: Final = {
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}
_SWARM: Final = ("swarm", "nodes", "services", "tasks", "secrets", "configs")
_NO_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


class Facts(Protocol):
    """What is told of the engine."""

    def status(self) -> dict[str, Any]: ...
    def container_states(self) -> Sequence[str]: ...
    def image_count(self) -> int: ...
    def listener_count(self) -> int: ...
    def registries(self) -> dict[str, Any]: ...
    def proxies(self) -> dict[str, str]: ...


class EngineInfoRoutes:
    """The engine as Docker's clients see it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def routes(self) -> list[Route]:
        """Return the table."""
        refuse = _constant(Answer(503, {"message": _NO_SWARM}))
        return [
            Route("GET", "/_ping", _constant(Answer(200, text="OK", headers=_PING_HEADERS))),
            Route("GET", "/version", lambda *_: Answer(200, version_json())),
            Route("GET", "/info", lambda *_: Answer(200, info_json(self._facts))),
            Route("GET", "/plugins", _constant(Answer(200, []))),
            Route("GET", "/plugins/{name}/json", lambda _, __, a: _no_plugin(a["name"])),
            *(Route(m, f"/{part}", refuse) for part in _SWARM for m in ("GET", "POST")),
            *(Route(m, f"/{part}/{{rest}}", refuse) for part in _SWARM for m in ("GET", "POST", "DELETE")),
        ]


def version_json() -> dict[str, Any]:
    """Return ``GET /version``."""
    details = {
        "ApiVersion": API_VERSION,
        "Arch": _architecture(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": f"none, but Python {platform.python_version()}",
        "KernelVersion": platform.release(),
        "MinAPIVersion": MINIMUM_VERSION,
        "Os": "linux",
    }
    twins = ("ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime")
    return {
        "Platform": {"Name": "stackctl"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        **{name: details[name] for name in twins},
    }


def info_json(facts: Facts) -> dict[str, Any]:
    """Return ``GET /info``."""
    status, states = facts.status(), facts.container_states()
    is_v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    limits = ("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")
    return {
        "ID": status["id"],
        "Containers": len(states),
        "ContainersRunning": sum(state in ("running", "restarting") for state in states),
        "ContainersPaused": sum(state == "paused" for state in states),
        "ContainersStopped": sum(state in ("created", "exited") for state in states),
        "Images": facts.image_count(),
        "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        **dict.fromkeys(limits, True),
        "KernelMemoryTCP": False,
        "OomKillDisable": False,
        "IPv4Forwarding": _read("/proc/sys/net/ipv4/ip_forward").strip() == "1",
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if is_v2 else "1",
        "NEventsListener": facts.listener_count(),
        **_machine(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": facts.registries(),
        "GenericResources": None,
        "DockerRootDir": status["root"],
        **facts.proxies(),
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {"stackctl": {"path": "built in"}},
        "DefaultRuntime": "stackctl",
        "Swarm": _swarm(),
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "built in",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "Warnings": list(status["notices"]) or None,
    }


def _machine() -> dict[str, Any]:
    return {
        "KernelVersion": platform.release(),
        "OperatingSystem": _operating_system(),
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": platform.node(),
    }


def _swarm() -> dict[str, Any]:
    return {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    }


def _constant(answer: Answer) -> Callable[..., Answer]:
    return lambda *_: answer


def _no_plugin(name: str) -> Answer:
    return Answer(404, {"message": f'plugin "{name}" not found'})


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _operating_system() -> str:
    for line in _read("/etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return "Linux"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
