"""Docker's HostConfig in our terms: limits, rights, restart policy, logs. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from stackctl.api.connection import BadRequest
from stackctl.api.fields import Fields
from stackctl.model.container import Device, Dns, LogPolicy, RestartPolicy, Ulimit
from stackctl.model.limits import BlockLimit, BlockMeasure, Limits

_DEFAULT_SHM: Final = 64 * 1024 * 1024
_LEAST_MEMORY: Final = 6 * 1024 * 1024
BLOCK_FIELDS: Final[dict[str, tuple[BlockMeasure, str]]] = {
    "BlkioWeightDevice": ("weight", "Weight"),
    "BlkioDeviceReadBps": ("read_bps", "Rate"),
    "BlkioDeviceWriteBps": ("write_bps", "Rate"),
    "BlkioDeviceReadIOps": ("read_iops", "Rate"),
    "BlkioDeviceWriteIOps": ("write_iops", "Rate"),
}
"""HostConfig's field for each measure of a block device, and what its value is called there."""
_SIZE: Final = re.compile(r"(\d+)([bkmg]?)b?")
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_RUNTIMES: Final = ("", "runc", "io.containerd.runc.v2")
_LOG_DRIVERS: Final = ("", "json-file", "local", "journald")
_RESTARTS: Final = ("", "no", "always", "on-failure", "unless-stopped")
# What nothing here would act on: refused, so that nobody relies on it in vain.
_UNSUPPORTED: Final = tuple(
    """Links CgroupParent Cgroup
    DeviceRequests StorageOpt KernelMemory KernelMemoryTCP Annotations
    VolumeDriver CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth""".split()
)


def refuse_unsupported(host: Fields) -> None:
    """Raise BadRequest, naming them, when the request asks for what this engine does not do."""
    asked = host.given(_UNSUPPORTED)
    if host.text("VolumeDriver") == "local":
        asked.remove("VolumeDriver")
    for name, allowed in (
        ("CgroupnsMode", ("", "private", "host")),
        ("UTSMode", ("", "host")),
        ("UsernsMode", ("", "host")),
        ("Isolation", ("", "default")),
        ("PidMode", ("", "private", "host")),
        ("IpcMode", ("", "private", "shareable", "host")),
        ("Runtime", _RUNTIMES),
    ):
        is_shared = name in ("PidMode", "IpcMode") and host.text(name).startswith("container:")
        if host.text(name) not in allowed and not is_shared:
            asked.append(f"{name}={host.text(name)}")
    for name in ("MaskedPaths", "ReadonlyPaths"):
        asked += [name] if host.optional_texts(name) else []
    if asked:
        raise BadRequest(f"not supported by this engine: HostConfig.{', HostConfig.'.join(asked)}")


def host_fields(host: Fields) -> dict[str, Any]:
    """Return fields of a ContainerSpec. Raises BadRequest."""
    restart = restart_of(host.within("RestartPolicy"))
    is_removed = host.flag("AutoRemove")
    if is_removed and restart.kind != "no":
        raise BadRequest("can't create 'AutoRemove' container with restart policy")
    no_new_privileges, seccomp, profile = _security(host.texts("SecurityOpt"))
    # Docker's client turns the security option systempaths=unconfined into empty lists.
    unmasked = host.optional_texts("MaskedPaths") == () and host.optional_texts("ReadonlyPaths") == ()
    return {
        "auto_remove": is_removed,
        "restart": restart,
        "limits": limits_of(host, Limits()),
        "ulimits": _ulimits(host),
        "sysctls": tuple(sorted(host.pairs("Sysctls").items())),
        "shm_size_bytes": host.number("ShmSize") or _DEFAULT_SHM,
        "cap_add": tuple(_capability(name) for name in host.texts("CapAdd")),
        "cap_drop": tuple(_capability(name) for name in host.texts("CapDrop")),
        "privileged": host.flag("Privileged"),
        "no_new_privileges": no_new_privileges,
        "seccomp": seccomp,
        "seccomp_profile": profile,
        "read_only": host.flag("ReadonlyRootfs"),
        "init": host.flag("Init"),
        "group_add": host.texts("GroupAdd"),
        "devices": _devices(host),
        "device_rules": host.texts("DeviceCgroupRules"),
        "pid_mode": _namespace(host.text("PidMode")),
        "ipc_mode": _namespace(host.text("IpcMode")),
        "uts_mode": host.text("UTSMode"),
        "cgroup_mode": host.text("CgroupnsMode").removeprefix("private"),
        "unmasked": unmasked,
        "oom_score_adj": host.number("OomScoreAdj"),
        "log": _log(host.within("LogConfig")),
        "dns": Dns(servers=host.texts("Dns"), search=host.texts("DnsSearch"), options=host.texts("DnsOptions")),
        "extra_hosts": tuple(_extra_host(text) for text in host.texts("ExtraHosts")),
    }


def restart_of(given: Fields) -> RestartPolicy:
    """Return a restart policy. Raises BadRequest."""
    kind, count = given.text("Name"), given.number("MaximumRetryCount")
    if kind not in _RESTARTS:
        raise BadRequest(f"invalid restart policy: unknown policy '{kind}'")
    if count and kind != "on-failure":
        raise BadRequest("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if count < 0:
        raise BadRequest("invalid restart policy: maximum retry count cannot be negative")
    return RestartPolicy(kind=kind or "no", max_attempts=count)  # type: ignore[arg-type]  # one of _RESTARTS


def limits_of(given: Fields, before: Limits) -> Limits:
    """Return ``before`` with the limits that are given. Raises BadRequest."""
    memory = given.number("Memory") or before.memory_bytes
    if 0 < given.number("Memory") < _LEAST_MEMORY:
        raise BadRequest("Minimum memory limit allowed is 6MB")
    swap = given.number("MemorySwap") or before.memory_swap_bytes
    if 0 < swap < memory:
        raise BadRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if swap > 0 and not memory:
        raise BadRequest("You should always set the Memory limit when using Memoryswap limit, see usage")
    pids, swappiness = given.optional_number("PidsLimit"), given.optional_number("MemorySwappiness")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise BadRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    nano, quota, period = _cpu(given)
    is_told = bool(nano or quota or period)
    return Limits(
        nano_cpus=nano if is_told else before.nano_cpus,
        cpu_quota_us=quota if is_told else before.cpu_quota_us,
        cpu_period_us=period if is_told else before.cpu_period_us,
        cpu_shares=given.number("CpuShares") or before.cpu_shares,
        cpu_rt_runtime_us=given.number("CpuRealtimeRuntime") or before.cpu_rt_runtime_us,
        cpu_rt_period_us=given.number("CpuRealtimePeriod") or before.cpu_rt_period_us,
        cpuset=given.text("CpusetCpus") or before.cpuset,
        cpuset_mems=given.text("CpusetMems") or before.cpuset_mems,
        memory_bytes=memory,
        memory_reservation_bytes=given.number("MemoryReservation") or before.memory_reservation_bytes,
        # As Docker has it: with a memory limit and no other word, as much swap again.
        memory_swap_bytes=swap or 2 * memory,
        swappiness=before.swappiness if swappiness is None else swappiness,
        oom_kill_disable=given.flag("OomKillDisable") or before.oom_kill_disable,
        pids=before.pids if pids is None else max(pids, 0),
        block_weight=given.number("BlkioWeight") or before.block_weight,
        block=_block(given) or before.block,
    )


def _block(given: Fields) -> tuple[BlockLimit, ...]:
    return tuple(
        BlockLimit(measure=measure, device=entry.text("Path"), value=entry.number(value))
        for name, (measure, value) in BLOCK_FIELDS.items()
        for entry in given.objects(name)
        if entry.number(value) > 0
    )


def _cpu(given: Fields) -> tuple[int, int, int]:
    nano, quota, period = given.number("NanoCpus"), given.number("CpuQuota"), given.number("CpuPeriod")
    if nano < 0 or (nano and (quota or period)):
        raise BadRequest("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set")
    return nano, max(quota, 0), max(period, 0)


def _namespace(mode: str) -> str:
    return mode if mode == "host" or mode.startswith("container:") else ""


def _ulimits(host: Fields) -> tuple[Ulimit, ...]:
    return tuple(
        Ulimit(name=entry.text("Name").lower(), soft=entry.number("Soft"), hard=entry.number("Hard"))
        for entry in host.objects("Ulimits")
    )


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _devices(host: Fields) -> tuple[Device, ...]:
    return tuple(
        Device(
            source=entry.text("PathOnHost"),
            target=entry.text("PathInContainer") or entry.text("PathOnHost"),
            permissions=entry.text("CgroupPermissions") or "rwm",
        )
        for entry in host.objects("Devices")
    )


def _security(options: tuple[str, ...]) -> tuple[bool, Literal["default", "unconfined"], str]:
    no_new_privileges, profile = False, ""
    seccomp: Literal["default", "unconfined"] = "default"
    for option in options:
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            no_new_privileges = value != "false"
        elif (name, value) == ("seccomp", "unconfined"):
            seccomp = "unconfined"
        elif name == "seccomp" and value.startswith("{"):  # clients read the file and send what it says
            profile = value
        elif (name, value) not in (("apparmor", "unconfined"), ("label", "disable"), ("seccomp", "builtin")):
            raise BadRequest(f"not supported by this engine: the security option {option}")
    return no_new_privileges, seccomp, profile


def _log(given: Fields) -> LogPolicy:
    if given.text("Type") not in _LOG_DRIVERS:
        raise BadRequest(f"not supported by this engine: the log driver {given.text('Type')}")
    options = given.pairs("Config")
    policy = LogPolicy()
    count = options.get("max-file", "")
    return LogPolicy(
        max_bytes=_bytes(options["max-size"]) if "max-size" in options else policy.max_bytes,
        max_files=max(int(count), 1) if count.isdecimal() else policy.max_files,
    )


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.lower())
    if found is None or not int(found[1]):
        raise BadRequest(f"invalid size: {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _extra_host(text: str) -> tuple[str, str]:
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not separator or not name or not address:
        raise BadRequest(f"bad format for add-host: {text!r}")
    return name, address.strip("[]")
