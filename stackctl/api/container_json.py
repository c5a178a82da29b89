"""Containers in the shapes Docker's clients read. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any, Final

from stackctl.model.container import (
    BindMount,
    ContainerSpec,
    ContentMount,
    HostNetwork,
    JoinNetworks,
    Mount,
    NoNetwork,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import ProbeResult
from stackctl.model.observed import ObservedAddress, ObservedContainer
from stackctl.runtime.processes import Process

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_NS: Final = 1_000_000_000


def list_json(container: ObservedContainer) -> dict[str, Any]:
    """Return one entry of ``GET /containers/json``."""
    spec = container.spec
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image_ref,
        "ImageID": container.image_id,
        "Command": shlex.join(spec.argv) if spec else "",
        "Created": container.created_ns // _NS,
        "Ports": _ports(container),
        "Labels": dict(container.labels),
        "State": container.state,
        "Status": status_text(container, time.time_ns()),
        "Health": {"Status": container.health, "FailingStreak": 0},
        "HostConfig": {"NetworkMode": _network_mode(spec)},
        "NetworkSettings": {"Networks": {address.network: _endpoint(address) for address in container.networks}},
        "Mounts": [_mount(mount) for mount in (spec.mounts if spec else ())],
        "ExitCode": container.exit_code,
    }


def inspect_json(container: ObservedContainer) -> dict[str, Any]:
    """Return ``GET /containers/{id}/json``."""
    spec = container.spec
    assert spec is not None
    return {
        "Id": container.id,
        "Created": _time(container.created_ns),
        "Path": spec.argv[0] if spec.argv else "",
        "Args": list(spec.argv[1:]),
        "State": _state(container),
        "Image": container.image_id,
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "Config": _config(container, spec),
        "HostConfig": _host_config(spec),
        "NetworkSettings": {
            "Ports": _port_bindings(container),
            "Networks": {address.network: _endpoint(address) for address in container.networks},
        },
    }


def top_json(processes: Sequence[Process], now_s: float) -> dict[str, Any]:
    """Return ``GET /containers/{id}/top``, with the columns of ``ps -ef``."""
    titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    return {"Titles": titles, "Processes": [_process(process, now_s) for process in processes]}


def _process(process: Process, now_s: float) -> list[str]:
    lived_s = max(now_s - process.started_s, 1.0)
    is_of_today = lived_s < 24 * 3600
    started = time.strftime("%H:%M" if is_of_today else "%b%d", time.localtime(process.started_s))
    minutes, seconds = divmod(int(process.cpu_s), 60)
    return [
        "root" if process.uid == 0 else str(process.uid),
        str(process.pid),
        str(process.parent_pid),
        str(min(99, int(100 * process.cpu_s / lived_s))),
        started,
        process.tty,
        f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
        process.command,
    ]


def status_text(container: ObservedContainer, now_ns: int) -> str:
    """Return Docker's status in words: ``Up 3 minutes (healthy)``."""
    match container.state:
        case "created":
            return "Created"
        case "exited":
            return f"Exited ({container.exit_code}) {_ago(now_ns - container.finished_ns)} ago"
        case "restarting":
            return f"Restarting ({container.exit_code}) {_ago(now_ns - container.finished_ns)} ago"
        case "paused":
            return f"Up {_ago(now_ns - container.started_ns)} (Paused)"
        case "running":
            shown = {"starting": " (health: starting)", "none": ""}.get(container.health, f" ({container.health})")
            return f"Up {_ago(now_ns - container.started_ns)}{shown}"


def _ago(elapsed_ns: int) -> str:
    seconds = max(0, elapsed_ns // _NS)
    if seconds < 1:
        return "Less than a second"
    for size, name in ((86400 * 7, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count = seconds // size
        if count >= (1 if size < 86400 else 2):
            return f"{count} {name}{'s' if count != 1 else ''}" if count > 1 or size < 60 else f"About a {name}"
    return f"{seconds} seconds"


def _state(container: ObservedContainer) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "Status": container.state,
        "Running": container.state in ("running", "paused"),
        "Paused": container.state == "paused",
        "Restarting": container.state == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": False,
        "Pid": container.pid,
        "ExitCode": container.exit_code or 0,
        "Error": container.error,
        "StartedAt": _time(container.started_ns),
        "FinishedAt": _time(container.finished_ns),
    }
    if container.health != "none":
        log = [_probe(result) for result in container.probes]
        shape["Health"] = {"Status": container.health, "FailingStreak": container.health_failures, "Log": log}
    return shape


def _probe(result: ProbeResult) -> dict[str, Any]:
    start, end = _time(result.start_ns), _time(result.end_ns)
    return {"Start": start, "End": end, "ExitCode": result.exit_code, "Output": result.output}


def _config(container: ObservedContainer, spec: ContainerSpec) -> dict[str, Any]:
    return {
        "Hostname": spec.hostname or container.id[:12],
        "Domainname": spec.domainname,
        "User": spec.user,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "AttachStdout": True,
        "AttachStderr": True,
        "Env": list(spec.env),
        "Cmd": list(spec.argv),
        "Image": spec.image_ref,
        "WorkingDir": spec.working_dir,
        "Entrypoint": None,
        "Labels": dict(spec.labels),
        "StopSignal": spec.stop_signal,
    }


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "NetworkMode": _network_mode(spec),
        "RestartPolicy": {"Name": spec.restart.kind, "MaximumRetryCount": spec.restart.max_attempts},
        "AutoRemove": False,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Memory": spec.limits.memory_bytes,
        "NanoCpus": spec.limits.nano_cpus,
        "PidsLimit": spec.limits.pids or None,
        "ShmSize": spec.shm_size_bytes,
        "Init": spec.init,
        "LogConfig": {"Type": "json-file", "Config": {}},
        "PortBindings": {},
        "Binds": [f"{m.source}:{m.target}" for m in spec.mounts if isinstance(m, BindMount)],
    }


def _network_mode(spec: ContainerSpec | None) -> str:
    if spec is None:
        return "default"
    match spec.networking:
        case JoinNetworks(attachments=attachments):
            return attachments[0].network if attachments else "none"
        case HostNetwork():
            return "host"
        case NoNetwork():
            return "none"
        case ShareNetwork(container=container):
            return f"container:{container}"


def _endpoint(address: ObservedAddress) -> dict[str, Any]:
    return {
        "IPAddress": address.ipv4,
        "IPPrefixLen": address.prefix_length,
        "Gateway": address.gateway,
        "MacAddress": address.mac,
        "NetworkID": address.network,
        "Aliases": [],
    }


def _ports(container: ObservedContainer) -> list[dict[str, Any]]:
    if container.state not in ("running", "restarting"):
        return []
    return [
        {
            "IP": port.host_ip or "0.0.0.0",
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in container.ports
    ]


def _port_bindings(container: ObservedContainer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for port in container.ports:
        binding = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
        found.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return found


def _mount(mount: Mount) -> dict[str, Any]:
    match mount:
        case BindMount():
            shape = {"Type": "bind", "Source": mount.source}
        case VolumeMount():
            shape = {"Type": "volume", "Name": mount.volume, "Source": mount.volume, "Driver": "local"}
        case TmpfsMount():
            shape = {"Type": "tmpfs", "Source": ""}
        case ContentMount():
            shape = {"Type": "bind", "Source": f"{mount.kind} {mount.name}"}
    is_read_only = isinstance(mount, ContentMount) or mount.read_only
    return {**shape, "Destination": mount.target, "RW": not is_read_only, "Mode": "", "Propagation": "rprivate"}


def _time(ns: int) -> str:
    if not ns:
        return _ZERO_TIME
    seconds, rest = divmod(ns, _NS)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
