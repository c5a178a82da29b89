"""The Config and HostConfig of a container, told back from its specification. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

from typing import Any, Final

from stackctl.api.create_host import BLOCK_FIELDS
from stackctl.model.container import (
    BindMount,
    ContainerSpec,
    HostNetwork,
    JoinNetworks,
    NoNetwork,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import HealthCheck
from stackctl.model.limits import Limits

_NS: Final = 1_000_000_000
_MASKED: Final = tuple(
    """/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list
    /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap""".split()
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# What this engine has no word for: as a Docker engine tells it of a container that did not ask for it.
_ZERO: Final[dict[str, Any]] = {
    "ContainerIDFile": "",
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "Cgroup": "",
    "Links": None,
    "PublishAllPorts": False,
    "UsernsMode": "",
    "Runtime": "stackctl",
    "Isolation": "",
    "CgroupParent": "",
    "DeviceRequests": None,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}


def config_json(container_id: str, spec: ContainerSpec) -> dict[str, Any]:
    """Return ``Config``."""
    entrypoint, command = spec.argv[: spec.entrypoint_length], spec.argv[spec.entrypoint_length :]
    shape: dict[str, Any] = {
        "Hostname": spec.hostname or container_id[:12],
        "Domainname": spec.domainname,
        "User": spec.user,
        "AttachStdin": spec.stdin_once,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "StdinOnce": spec.stdin_once,
        "Env": list(spec.env),
        "Cmd": list(command),
        "Image": spec.image_ref,
        "Volumes": None,
        "WorkingDir": spec.working_dir,
        "Entrypoint": list(entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(spec.labels),
        "StopSignal": spec.stop_signal,
        "StopTimeout": int(spec.stop_grace_s),
    }
    ports = {f"{port.container_port}/{port.protocol}" for port in spec.ports} | set(spec.exposed_ports)
    if ports:
        shape["ExposedPorts"] = {port: {} for port in sorted(ports)}
    if spec.health is not None:
        shape["Healthcheck"] = _health(spec.health)
    return shape


def _health(check: HealthCheck) -> dict[str, Any]:
    return {
        "Test": list(check.test),
        "Interval": int(check.interval_s * _NS),
        "Timeout": int(check.timeout_s * _NS),
        "StartPeriod": int(check.start_period_s * _NS),
        "StartInterval": int(check.start_interval_s * _NS),
        "Retries": check.retries,
    }


def host_config_json(spec: ContainerSpec) -> dict[str, Any]:
    """Return ``HostConfig``."""
    return {
        **_ZERO,
        "Binds": [_bind(mount) for mount in spec.mounts if isinstance(mount, BindMount)] or None,
        "Mounts": [_volume(mount) for mount in spec.mounts if isinstance(mount, VolumeMount)],
        "Tmpfs": {mount.target: ",".join(mount.options) for mount in spec.mounts if isinstance(mount, TmpfsMount)},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(spec.log.max_bytes), "max-file": str(spec.log.max_files)},
        },
        "NetworkMode": network_mode(spec),
        "PortBindings": _bindings(spec),
        "RestartPolicy": {"Name": spec.restart.kind, "MaximumRetryCount": spec.restart.max_attempts},
        "AutoRemove": spec.auto_remove,
        "CapAdd": [f"CAP_{name}" if name != "ALL" else name for name in spec.cap_add] or None,
        "CapDrop": [f"CAP_{name}" if name != "ALL" else name for name in spec.cap_drop] or None,
        "Dns": list(spec.dns.servers),
        "DnsOptions": list(spec.dns.options),
        "DnsSearch": list(spec.dns.search),
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts] or None,
        "GroupAdd": list(spec.group_add) or None,
        "IpcMode": spec.ipc_mode or "private",
        "OomScoreAdj": spec.oom_score_adj,
        "PidMode": spec.pid_mode,
        "UTSMode": spec.uts_mode,
        "CgroupnsMode": spec.cgroup_mode or "private",
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": _security(spec) or None,
        "Sysctls": dict(spec.sysctls),
        "ShmSize": spec.shm_size_bytes,
        "Init": spec.init,
        **_limits(spec.limits),
        "Ulimits": [{"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in spec.ulimits] or None,
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions}
            for one in spec.devices
        ],
        "DeviceCgroupRules": list(spec.device_rules) or None,
        "MaskedPaths": [] if spec.privileged or spec.unmasked else list(_MASKED),
        "ReadonlyPaths": [] if spec.privileged or spec.unmasked else list(_READ_ONLY),
    }


def _limits(limits: Limits) -> dict[str, Any]:
    block = {
        name: [{"Path": one.device, value: one.value} for one in limits.block if one.measure == measure]
        for name, (measure, value) in BLOCK_FIELDS.items()
    }
    return {
        **block,
        "BlkioWeight": limits.block_weight,
        "CpuShares": limits.cpu_shares,
        "CpuPeriod": limits.cpu_period_us,
        "CpuQuota": limits.cpu_quota_us,
        "CpuRealtimePeriod": limits.cpu_rt_period_us,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime_us,
        "NanoCpus": limits.nano_cpus,
        "CpusetCpus": limits.cpuset,
        "CpusetMems": limits.cpuset_mems,
        "Memory": limits.memory_bytes,
        "MemoryReservation": limits.memory_reservation_bytes,
        "MemorySwap": limits.memory_swap_bytes,
        "MemorySwappiness": limits.swappiness if limits.swappiness >= 0 else None,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids or None,
    }


def network_mode(spec: ContainerSpec | None) -> str:
    """Return ``NetworkMode``."""
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


def _bind(mount: BindMount) -> str:
    options = [option for option in ("ro" if mount.read_only else "", mount.propagation, mount.selinux) if option]
    return ":".join([mount.source, mount.target, *([",".join(options)] if options else [])])


def _volume(mount: VolumeMount) -> dict[str, Any]:
    return {"Type": "volume", "Source": mount.volume, "Target": mount.target, "ReadOnly": mount.read_only}


def _bindings(spec: ContainerSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for port in spec.ports:
        is_range = port.host_first != port.host_last
        host = f"{port.host_first}-{port.host_last}" if is_range else str(port.host_first or "")
        binding = {"HostIp": port.host_ip, "HostPort": host}
        found.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return found


def _security(spec: ContainerSpec) -> list[str]:
    options = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.seccomp_profile:
        return [*options, f"seccomp={spec.seccomp_profile}"]
    return [*options, "seccomp=unconfined"] if spec.seccomp == "unconfined" else options
