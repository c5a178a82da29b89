"""From our specifications to Docker's requests. Pure. Source: Docker Engine API 1.41 to 1.51."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Mapping
from typing import Any, Final

from stackctl import labels
from stackctl.model.container import (
    Attachment,
    BindMount,
    ContainerSpec,
    ContentMount,
    HostNetwork,
    JoinNetworks,
    LogPolicy,
    NoNetwork,
    RestartPolicy,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import HealthCheck
from stackctl.model.limits import BlockMeasure, Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.volume import VolumeSpec
from stackctl.wire import codec

_NS: Final = 1_000_000_000
_BLOCK_FIELDS: Final[dict[str, tuple[BlockMeasure, str]]] = {
    "BlkioWeightDevice": ("weight", "Weight"),
    "BlkioDeviceReadBps": ("read_bps", "Rate"),
    "BlkioDeviceWriteBps": ("write_bps", "Rate"),
    "BlkioDeviceReadIOps": ("read_iops", "Rate"),
    "BlkioDeviceWriteIOps": ("write_iops", "Rate"),
}


def spec_label(spec: ContainerSpec | NetworkSpec) -> str:
    """Return what SPEC holds."""
    return json.dumps(codec.encode(spec), separators=(",", ":"), ensure_ascii=False)


def create_body(spec: ContainerSpec, image: str) -> dict[str, Any]:
    """Return the request that makes a container; it is on the first of its networks only."""
    shares = isinstance(spec.networking, ShareNetwork)
    first = max(spec.entrypoint_length, 1)
    ports = {f"{port.container_port}/{port.protocol}" for port in spec.ports} | set(spec.exposed_ports)
    body: dict[str, Any] = {
        "Hostname": "" if shares else spec.hostname,
        "Domainname": "" if shares else spec.domainname,
        "User": spec.user,
        "AttachStdin": spec.stdin_once,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "StdinOnce": spec.stdin_once,
        "Env": list(spec.env),
        "Entrypoint": list(spec.argv[:first]),
        "Cmd": list(spec.argv[first:]),
        "Image": image,
        "WorkingDir": spec.working_dir,
        "Labels": {**dict(spec.labels), labels.SPEC: spec_label(spec)},
        "StopSignal": spec.stop_signal,
        "StopTimeout": math.ceil(spec.stop_grace_s),
        "Healthcheck": _health(spec.health),
        "ExposedPorts": {} if shares else {port: {} for port in sorted(ports)},
        "HostConfig": _host_config(spec),
    }
    if isinstance(spec.networking, JoinNetworks) and spec.networking.attachments:
        place = spec.networking.attachments[0]
        body["NetworkingConfig"] = {"EndpointsConfig": {place.network: endpoint(place)}}
        if place.mac_address:
            body["MacAddress"] = place.mac_address
    return body


def content_folders(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the folders of configs and secrets that have to be volumes: where the container's own files are read-only.

    Not the root, and not what is a mount already.
    """
    if not spec.read_only:
        return ()
    mounted = {mount.target.rstrip("/") for mount in spec.mounts if not isinstance(mount, ContentMount)}
    folders = {posixpath.dirname(mount.target) for mount in spec.mounts if isinstance(mount, ContentMount)}
    return tuple(sorted(folders - mounted - {"/"}))


def endpoint(place: Attachment) -> dict[str, Any]:
    """Return the EndpointConfig of a place on a network."""
    addresses = {"IPv4Address": place.ipv4_address, "IPv6Address": place.ipv6_address}
    given: dict[str, Any] = {key: value for key, value in addresses.items() if value}
    if place.link_local:
        given["LinkLocalIPs"] = list(place.link_local)
    shape: dict[str, Any] = {"Aliases": list(place.aliases)}
    if given:
        shape["IPAMConfig"] = given
    if place.mac_address:
        shape["MacAddress"] = place.mac_address
    return shape


def update_body(limits: Limits, restart: RestartPolicy) -> dict[str, Any]:
    """Return the request that changes what can be changed of a container that runs."""
    return {**limits_body(limits), "RestartPolicy": restart_body(restart)}


def limits_body(limits: Limits) -> dict[str, Any]:
    """Return the limits as HostConfig has them."""
    return {
        "NanoCpus": limits.nano_cpus,
        "CpuShares": limits.cpu_shares,
        "CpusetCpus": limits.cpuset,
        "Memory": limits.memory_bytes,
        "MemoryReservation": limits.memory_reservation_bytes,
        # As the engine itself has it: with a memory limit and no other word, as much swap again.
        "MemorySwap": limits.memory_swap_bytes or 2 * limits.memory_bytes,
        "PidsLimit": limits.pids or None,
        **_rare_limits(limits),
    }


def _rare_limits(limits: Limits) -> dict[str, Any]:
    """Return what few ask for, and older engines may not know; only what is asked for."""
    shape: dict[str, Any] = {
        "CpuPeriod": limits.cpu_period_us,
        "CpuQuota": limits.cpu_quota_us,
        "CpuRealtimePeriod": limits.cpu_rt_period_us,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime_us,
        "CpusetMems": limits.cpuset_mems,
        "OomKillDisable": limits.oom_kill_disable,
        "BlkioWeight": limits.block_weight,
    }
    for name, (measure, value) in _BLOCK_FIELDS.items():
        shape[name] = [{"Path": one.device, value: one.value} for one in limits.block if one.measure == measure]
    given = {name: value for name, value in shape.items() if value}
    return given | ({"MemorySwappiness": limits.swappiness} if limits.swappiness >= 0 else {})


def restart_body(restart: RestartPolicy) -> dict[str, Any]:
    """Return the RestartPolicy."""
    return {"Name": restart.kind, "MaximumRetryCount": restart.max_attempts}


def network_body(spec: NetworkSpec) -> dict[str, Any]:
    """Return the request that makes a network."""
    pool = {"Subnet": spec.subnet, "IPRange": spec.ip_range, "Gateway": spec.gateway}
    given = {key: value for key, value in pool.items() if value}
    return {
        "Name": spec.name,
        "CheckDuplicate": True,
        "Driver": spec.driver,
        "Internal": spec.is_internal,
        "Attachable": spec.is_attachable,
        "EnableIPv6": spec.enable_ipv6,
        "Options": dict(spec.options),
        "IPAM": {"Driver": "default", "Config": [given] if given else []},
        "Labels": {**dict(spec.labels), labels.SPEC: spec_label(spec)},
    }


def volume_body(spec: VolumeSpec) -> dict[str, Any]:
    """Return the request that makes a volume."""
    return {
        "Name": spec.name,
        "Driver": spec.driver,
        "DriverOpts": dict(spec.options),
        "Labels": dict(spec.labels),
    }


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    shape: dict[str, Any] = {
        **limits_body(spec.limits),
        "Binds": [_bind(mount) for mount in spec.mounts if isinstance(mount, BindMount) and _is_short(mount)],
        "Mounts": _mounts(spec),
        "Tmpfs": {mount.target: _tmpfs(mount) for mount in spec.mounts if isinstance(mount, TmpfsMount)},
        "NetworkMode": _network_mode(spec),
        "PortBindings": {} if isinstance(spec.networking, ShareNetwork) else _bindings(spec),
        "RestartPolicy": restart_body(spec.restart),
        "AutoRemove": spec.auto_remove,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Dns": list(spec.dns.servers),
        "DnsOptions": list(spec.dns.options),
        "DnsSearch": list(spec.dns.search),
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts],
        "GroupAdd": list(spec.group_add),
        "IpcMode": spec.ipc_mode,
        "PidMode": spec.pid_mode,
        "OomScoreAdj": spec.oom_score_adj,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": _security(spec),
        "Sysctls": dict(spec.sysctls),
        "ShmSize": spec.shm_size_bytes,
        "Init": spec.init,
        "Ulimits": [{"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in spec.ulimits],
        "UTSMode": spec.uts_mode,
        "CgroupnsMode": spec.cgroup_mode,
        "DeviceCgroupRules": list(spec.device_rules),
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions}
            for one in spec.devices
        ],
    }
    if spec.unmasked:
        shape |= {"MaskedPaths": [], "ReadonlyPaths": []}
    if spec.log != LogPolicy():  # else as the engine's owner has set it up
        options = {"max-size": str(spec.log.max_bytes), "max-file": str(spec.log.max_files)}
        shape["LogConfig"] = {"Type": "json-file", "Config": options}
    return shape


def _network_mode(spec: ContainerSpec) -> str:
    match spec.networking:
        case JoinNetworks(attachments=attachments):
            return attachments[0].network if attachments else "none"
        case HostNetwork():
            return "host"
        case NoNetwork():
            return "none"
        case ShareNetwork(container=container):
            return f"container:{container}"


def _is_short(mount: BindMount) -> bool:
    """Whether a bind fits ``source:target:options``, the only form that makes a missing source."""
    return mount.create_source and ":" not in mount.source + mount.target


def _bind(mount: BindMount) -> str:
    options = [option for option in ("ro" if mount.read_only else "rw", mount.propagation, mount.selinux) if option]
    return f"{mount.source}:{mount.target}:{','.join(options)}"


def _mounts(spec: ContainerSpec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for mount in spec.mounts:
        if isinstance(mount, VolumeMount):
            options: dict[str, Any] = {"NoCopy": mount.nocopy} if mount.nocopy else {}
            options |= {"Subpath": mount.subpath} if mount.subpath else {}
            shape = {"Type": "volume", "Source": mount.volume, "Target": mount.target, "ReadOnly": mount.read_only}
            found.append({**shape, **({"VolumeOptions": options} if options else {})})
        elif isinstance(mount, BindMount) and not _is_short(mount):
            bind = {"Propagation": mount.propagation} if mount.propagation else {}
            shape = {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
            found.append({**shape, **({"BindOptions": bind} if bind else {})})
    found += [{"Type": "volume", "Target": folder} for folder in content_folders(spec)]
    return found


def _tmpfs(mount: TmpfsMount) -> str:
    options = list(mount.options)
    options += [f"size={mount.size_bytes}"] if mount.size_bytes else []
    options += [f"mode={mount.mode:o}"] if mount.mode is not None else []
    return ",".join([*options, *(["ro"] if mount.read_only else [])])


def _bindings(spec: ContainerSpec) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = {}
    for port in spec.ports:
        is_range = port.host_first != port.host_last
        host = f"{port.host_first}-{port.host_last}" if is_range else str(port.host_first or "")
        binding = {"HostIp": port.host_ip, "HostPort": host}
        found.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return found


def _security(spec: ContainerSpec) -> list[str]:
    options = ["no-new-privileges:true"] if spec.no_new_privileges else []
    if spec.seccomp_profile:
        return [*options, f"seccomp={spec.seccomp_profile}"]
    return [*options, "seccomp=unconfined"] if spec.seccomp == "unconfined" else options


def _health(check: HealthCheck | None) -> dict[str, Any]:
    if check is None:
        return {"Test": ["NONE"]}
    shape: dict[str, Any] = {
        "Test": list(check.test),
        "Interval": int(check.interval_s * _NS),
        "Timeout": int(check.timeout_s * _NS),
        "StartPeriod": int(check.start_period_s * _NS),
        "Retries": check.retries,
    }
    if check.start_period_s:
        shape["StartInterval"] = int(check.start_interval_s * _NS)
    return shape
