"""Values of specifications in the words a person uses for them. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Final

from stackctl.model.container import (
    BindMount,
    ContentMount,
    HostNetwork,
    JoinNetworks,
    Mount,
    NoNetwork,
    PublishedPort,
    RestartPolicy,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import HealthCheck
from stackctl.model.hook import Hook
from stackctl.model.limits import Limits

_TITLES: Final = {
    "argv": "command",
    "mounts": "volumes",
    "networking": "networks",
    "stop_grace_s": "stop_grace_period",
    "health": "healthcheck",
    "shm_size_bytes": "shm_size",
    "pid_mode": "pid",
    "ipc_mode": "ipc",
    "seccomp_profile": "security_opt seccomp",
    "uts_mode": "uts",
    "cgroup_mode": "cgroup",
    "unmasked": "systempaths=unconfined",
    "device_rules": "device_cgroup_rules",
    "log": "logging",
    "exposed_ports": "expose",
}
_LONGEST: Final = 60
_UNITS: Final = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def field_title(name: str) -> str:
    """Return what a field of a specification is called in a stack file."""
    return _TITLES.get(name, name)


def value_text(value: object) -> str:
    """Return a value in at most 60 characters; "" for nothing."""
    text = _text(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def limits_text(before: object, after: object) -> list[tuple[str, str, str]]:
    """Return (name, before, after) for each limit that differs."""
    if not isinstance(before, Limits) or not isinstance(after, Limits):
        return []
    old, new = _limits(before), _limits(after)
    return [(name, old[name], new[name]) for name in new if old[name] != new[name]]


def mount_text(mount: Mount | None) -> str:
    """Return what is mounted, without its target; "" for nothing."""
    match mount:
        case None:
            return ""
        case BindMount():
            return mount.source + (":ro" if mount.read_only else "")
        case VolumeMount():
            return mount.volume + (":ro" if mount.read_only else "")
        case TmpfsMount():
            return "tmpfs"
        case ContentMount():
            return f"{mount.kind} {mount.name}"


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return " ".join(_text(item) for item in value)
        case JoinNetworks() | HostNetwork() | NoNetwork() | ShareNetwork():
            return _networking(value)
        case PublishedPort():
            return _port(value)
        case RestartPolicy(kind=kind, max_attempts=attempts, delay_s=delay_s, window_s=window_s):
            times = [f"{name} {value:g}s" for name, value in (("delay", delay_s), ("window", window_s)) if value]
            return " ".join([f"{kind}:{attempts}" if attempts else kind, *times])
        case HealthCheck(test=test):
            return " ".join(test[1:])
        case Hook(argv=argv):
            return " ".join(argv)
        case _:
            return _fields(value) if is_dataclass(value) else str(value)


def _networking(value: JoinNetworks | HostNetwork | NoNetwork | ShareNetwork) -> str:
    match value:
        case JoinNetworks(attachments=attachments):
            return ", ".join(f"{a.network} {a.ipv4_address}".rstrip() for a in attachments)
        case HostNetwork():
            return "host"
        case NoNetwork():
            return "none"
        case ShareNetwork(container=container):
            return f"that of {container}"


def _port(port: PublishedPort) -> str:
    host = f"{port.host_first}-{port.host_last}" if port.host_first != port.host_last else f"{port.host_first}"
    parts = [port.host_ip, host if port.host_first else "", f"{port.container_port}"]
    return ":".join(part for part in parts if part) + ("/udp" if port.protocol == "udp" else "")


def _limits(limits: Limits) -> dict[str, str]:
    return {
        "cpus": f"{limits.nano_cpus / 1e9:g}" if limits.nano_cpus else "",
        "cpu_quota": str(limits.cpu_quota_us or ""),
        "cpu_period": str(limits.cpu_period_us or ""),
        "memory": _size(limits.memory_bytes),
        "memory reservation": _size(limits.memory_reservation_bytes),
        "memory and swap": _size(limits.memory_swap_bytes),
        "pids": str(limits.pids or ""),
        "cpu_shares": str(limits.cpu_shares or ""),
        "cpuset": limits.cpuset,
        "cpuset_mems": limits.cpuset_mems,
        "real-time budget": f"{limits.cpu_rt_runtime_us}/{limits.cpu_rt_period_us}".removeprefix("0/0"),
        "swappiness": str(limits.swappiness) if limits.swappiness >= 0 else "",
        "oom_kill_disable": "true" if limits.oom_kill_disable else "",
        "blkio": " ".join([*_weight(limits), *(f"{b.measure} {b.device} {b.value}" for b in limits.block)]),
    }


def _weight(limits: Limits) -> list[str]:
    return [f"weight {limits.block_weight}"] if limits.block_weight else []


def _size(count: int) -> str:
    if count == -1:
        return "unlimited"
    for unit, letter in _UNITS:
        if count and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count or "")


def _fields(value: object) -> str:
    shown = {item.name: _text(getattr(value, item.name)) for item in fields(value)}  # type: ignore[arg-type]
    return ", ".join(f"{name}={text}" for name, text in shown.items() if text not in ("", "0", "false"))
