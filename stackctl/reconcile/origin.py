"""Where the fields of a container's specification are written in the stack file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from stackctl.diagnostics import SourceRange
from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.model.stack import Path, Service, Stack

# Where a field of the specification may be written, the most telling place first.
_PLACES: Final[Mapping[str, tuple[Path, ...]]] = MappingProxyType(
    {
        "image_ref": (("image",), ("build",)),
        "image_id": (("image",), ("build",)),
        "argv": (("command",), ("entrypoint",)),
        "env": (("environment",),),
        "mounts": (("volumes",), ("configs",), ("secrets",), ("tmpfs",)),
        "networking": (("networks",), ("network_mode",)),
        "limits": (("deploy", "resources"), ("mem_limit",), ("cpus",), ("pids_limit",), ("cpuset",)),
        "restart": (("restart",), ("deploy", "restart_policy")),
        "stop_grace_s": (("stop_grace_period",),),
        "health": (("healthcheck",),),
        "shm_size_bytes": (("shm_size",),),
        "no_new_privileges": (("security_opt",),),
        "seccomp": (("security_opt",),),
        "seccomp_profile": (("security_opt",),),
        "pid_mode": (("pid",),),
        "ipc_mode": (("ipc",),),
        "uts_mode": (("uts",),),
        "cgroup_mode": (("cgroup",),),
        "unmasked": (("security_opt",),),
        "device_rules": (("device_cgroup_rules",),),
        "log": (("logging",),),
        "name": (("container_name",),),
        "exposed_ports": (("expose",),),
    }
)
# The same for each single limit, by what it is called in a plan.
_LIMIT_PLACES: Final[Mapping[str, tuple[Path, ...]]] = MappingProxyType(
    {
        "cpus": (("cpus",), ("deploy", "resources", "limits", "cpus")),
        "memory": (("mem_limit",), ("deploy", "resources", "limits", "memory")),
        "memory reservation": (("mem_reservation",), ("deploy", "resources", "reservations", "memory")),
        "memory and swap": (("memswap_limit",),),
        "pids": (("pids_limit",), ("deploy", "resources", "limits", "pids")),
        "cpu_shares": (("cpu_shares",),),
        "cpuset": (("cpuset",),),
        "cpu_quota": (("cpu_quota",),),
        "cpu_period": (("cpu_period",),),
        "real-time budget": (("cpu_rt_runtime",), ("cpu_rt_period",)),
        "swappiness": (("mem_swappiness",),),
        "oom_kill_disable": (("oom_kill_disable",),),
        "blkio": (("blkio_config",),),
    }
)
_MOUNT_KEYS: Final = ("volumes", "tmpfs", "configs", "secrets")


def origin_of(stack: Stack, service: Service, image_entrypoint: tuple[str, ...]) -> Mapping[str, SourceRange]:
    """Return where each field is written; "" is the service, and ``argv.0`` the program.

    Also single items, by what names them: ``env.KEY``, ``labels.KEY``, ``limits.NAME``, ``ports.HOST_PORT``,
    ``mounts.TARGET``, ``devices.TARGET`` (below /dev), ``sysctls.NAME``, ``ulimits.NAME``, ``group_add.INDEX``,
    ``post_start.INDEX``, ``cap_add.NAME``, ``cap_drop.NAME``, ``networking.NETWORK`` and ``networking.NETWORK.KEY``.
    """
    positions = stack.positions
    base: Path = ("services", service.name)
    if not positions:
        return MappingProxyType({})
    found = {}
    for name in ContainerSpec.__slots__:
        for path in _PLACES.get(name, ((name,),)):
            if (where := positions.get((*base, *path))) is not None:
                found[name] = where
                break
    items = (*_keyed(service), *_attached(stack, service), *_listed(stack, service))
    program = [("argv.0", path) for path in _program(service, image_entrypoint)]
    for name, path in (*items, *program):
        if (where := positions.get((*base, *path))) is not None:
            found[name] = where
    if (own := positions.get(base)) is not None:
        found[""] = own
    return MappingProxyType(found)


def _program(service: Service, image_entrypoint: tuple[str, ...]) -> tuple[Path, ...]:
    """Return where the program may be written; the last one that is written counts."""
    if service.entrypoint:
        return (("entrypoint",),)
    is_of_image = service.entrypoint is None and (image_entrypoint or not service.command)
    return (("build",), ("image",)) if is_of_image else (("command",),)


def _keyed(service: Service) -> Iterator[tuple[str, Path]]:
    for key, _ in service.environment:
        yield f"env.{key}", ("environment", key)
    for key, _ in service.labels:
        yield f"labels.{key}", ("labels", key)
    for key, _ in service.sysctls:
        yield f"sysctls.{key}", ("sysctls", key)
    for ulimit in service.ulimits:
        yield f"ulimits.{ulimit.name}", ("ulimits", ulimit.name)
    for name, paths in _LIMIT_PLACES.items():
        for path in reversed(paths):
            yield f"limits.{name}", path


def _attached(stack: Stack, service: Service) -> Iterator[tuple[str, Path]]:
    if not isinstance(service.networking, JoinNetworks):
        return
    for key, network in stack.networks.items():
        yield f"networking.{network.name}", ("networks", key)
        for setting in ("ipv4_address", "ipv6_address", "mac_address"):
            yield f"networking.{network.name}.{setting}", ("networks", key, setting)


def _listed(stack: Stack, service: Service) -> Iterator[tuple[str, Path]]:
    items: dict[str, list[str]] = {
        "ports": [f"ports.{port.host_first}" for port in service.ports],
        "devices": [f"devices.{device.target.removeprefix('/dev/')}" for device in service.devices],
        "cap_add": [f"cap_add.{name}" for name in service.cap_add],
        "cap_drop": [f"cap_drop.{name}" for name in service.cap_drop],
        "group_add": [f"group_add.{number}" for number in range(len(service.group_add))],
        "post_start": [f"post_start.{number}" for number in range(len(service.post_start))],
    }
    for key, names in items.items():
        # The items that were read are those that were written, one for one, unless a position is missing.
        paths = _items(stack, service, key)
        if len(paths) == len(names):
            yield from zip(names, paths, strict=True)
    mounts = [path for key in _MOUNT_KEYS for path in _items(stack, service, key)]
    if len(mounts) == len(service.mounts):
        yield from ((f"mounts.{mount.target}", path) for mount, path in zip(service.mounts, mounts, strict=True))


def _items(stack: Stack, service: Service, key: str) -> list[Path]:
    found: list[Path] = []
    while ("services", service.name, key, len(found)) in stack.positions:
        found.append((key, len(found)))
    return found
