"""Containers in the shapes Docker's clients read. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from stackctl.api.container_config import config_json, host_config_json, network_mode
from stackctl.model.container import (
    Attachment,
    BindMount,
    ContentMount,
    HostNetwork,
    JoinNetworks,
    Mount,
    ShareNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.health import ProbeResult
from stackctl.model.observed import ObservedAddress, ObservedContainer

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the engine keeps the folders of containers and of volumes."""

    containers: str
    volumes: str


class Sizes(NamedTuple):
    """What a container has written itself, and with its image, in bytes."""

    written: int
    total: int


def list_json(container: ObservedContainer, folders: Folders, sizes: Sizes | None = None) -> dict[str, Any]:
    """Return one entry of ``GET /containers/json``."""
    spec = container.spec
    shape = {
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
        "HostConfig": {"NetworkMode": network_mode(spec)},
        "NetworkSettings": {"Networks": _networks(container)},
        "Mounts": [_mount(mount, folders) for mount in (spec.mounts if spec else ())],
        "ExitCode": container.exit_code,
    }
    return shape if sizes is None else {**shape, "SizeRw": sizes.written, "SizeRootFs": sizes.total}


def inspect_json(container: ObservedContainer, folders: Folders, sizes: Sizes | None = None) -> dict[str, Any]:
    """Return ``GET /containers/{id}/json``."""
    spec = container.spec
    assert spec is not None
    folder = f"{folders.containers}/{container.id}"
    shape = {
        "Id": container.id,
        "Created": _time(container.created_ns),
        "Path": spec.argv[0] if spec.argv else "",
        "Args": list(spec.argv[1:]),
        "State": _state(container),
        "Image": container.image_id,
        "ResolvConfPath": f"{folder}/etc/resolv.conf",
        "HostnamePath": f"{folder}/etc/hostname",
        "HostsPath": f"{folder}/etc/hosts",
        "LogPath": f"{folder}/log",
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config_json(spec),
        "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": f"{folder}/upper", "WorkDir": f"{folder}/work"}},
        "Mounts": [_mount(mount, folders) for mount in spec.mounts],
        "Config": config_json(container.id, spec),
        "NetworkSettings": _network_settings(container),
    }
    return shape if sizes is None else {**shape, "SizeRw": sizes.written, "SizeRootFs": sizes.total}


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


# (from how many seconds on, the size of the unit, its name), the longest first
_SPANS: Final = (
    (2 * 365 * 86400, 365 * 86400, "years"),
    (60 * 86400, 30 * 86400, "months"),
    (14 * 86400, 7 * 86400, "weeks"),
    (48 * 3600, 86400, "days"),
    (2 * 3600, 3600, "hours"),
    (3600, 0, "About an hour"),
    (120, 60, "minutes"),
    (60, 0, "About a minute"),
    (2, 1, "seconds"),
    (1, 0, "1 second"),
    (0, 0, "Less than a second"),
)


def _ago(elapsed_ns: int) -> str:
    """Return a duration as Docker says it."""
    seconds = max(0, elapsed_ns // _NS)
    size, name = next((size, name) for least, size, name in _SPANS if seconds >= least)
    return f"{seconds // size} {name}" if size else name


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


def _network_settings(container: ObservedContainer) -> dict[str, Any]:
    endpoints = _networks(container)
    default = endpoints.get("bridge", {})
    single = {
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
    }
    return {
        "Bridge": "",
        "SandboxID": container.id if container.pid else "",
        "SandboxKey": f"/proc/{container.pid}/ns/net" if container.pid else "",
        "Ports": _port_bindings(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{name: default.get(name, value) for name, value in single.items()},
        "Networks": endpoints,
    }


def _networks(container: ObservedContainer) -> dict[str, Any]:
    """Return every place on a network, of one that does not run without addresses."""
    addresses = {address.network: address for address in container.networks}
    networking = container.spec.networking if container.spec else None
    if isinstance(networking, JoinNetworks):
        ids = dict(container.network_ids)
        return {
            a.network: _endpoint(container, a, ids.get(a.network, ""), addresses.get(a.network))
            for a in networking.attachments
        }
    mode = network_mode(container.spec)
    return {mode: _endpoint(container, Attachment(network=mode), "", None)} if mode in ("host", "none") else {}


def _endpoint(
    container: ObservedContainer, place: Attachment, network_id: str, address: ObservedAddress | None
) -> dict[str, Any]:
    is_there = address is not None and bool(address.ipv4) and bool(container.pid)
    ipam = {"IPv4Address": place.ipv4_address} if place.ipv4_address else None
    return {
        "IPAMConfig": ipam,
        "Links": None,
        "Aliases": list(place.aliases) or None,
        "MacAddress": address.mac if address and is_there else place.mac_address,
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network_id,
        "EndpointID": f"{container.id[:32]}{network_id[:32]}" if is_there else "",
        "Gateway": address.gateway if address and is_there else "",
        "IPAddress": address.ipv4 if address and is_there else "",
        "IPPrefixLen": address.prefix_length if address and is_there else 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": list(dict.fromkeys((container.name, *place.aliases))),
    }


def _ports(container: ObservedContainer) -> list[dict[str, Any]]:
    if container.state not in ("running", "restarting", "paused"):
        return []
    found: list[dict[str, Any]] = [
        {
            "IP": port.host_ip or "0.0.0.0",
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in container.ports
    ]
    for port in _unpublished(container):
        number, _, protocol = port.partition("/")
        found.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return found


def _unpublished(container: ObservedContainer) -> list[str]:
    published = {f"{port.container_port}/{port.protocol}" for port in container.ports}
    if container.spec is None or isinstance(container.spec.networking, HostNetwork | ShareNetwork):
        return []
    exposed = container.spec.exposed_ports
    return [port for port in exposed if port not in published and port.partition("/")[0].isdecimal()]


def _port_bindings(container: ObservedContainer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if container.state in ("running", "restarting", "paused"):
        found = {port: None for port in _unpublished(container)}
        for port in container.ports:
            binding = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
            found.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return found


def _mount(mount: Mount, folders: Folders) -> dict[str, Any]:
    shape: dict[str, Any]
    match mount:
        case BindMount():
            shape = {"Type": "bind", "Source": mount.source, "Propagation": mount.propagation or "rprivate"}
        case VolumeMount():
            source = f"{folders.volumes}/{mount.volume}/_data"
            shape = {"Type": "volume", "Name": mount.volume, "Source": source, "Driver": "local", "Propagation": ""}
        case TmpfsMount():
            shape = {"Type": "tmpfs", "Source": "", "Propagation": ""}
        case ContentMount():
            shape = {"Type": "bind", "Source": f"{mount.kind} {mount.name}", "Propagation": "rprivate"}
    is_read_only = isinstance(mount, ContentMount) or mount.read_only
    return {**shape, "Destination": mount.target, "RW": not is_read_only, "Mode": "ro" if is_read_only else ""}


def _time(ns: int) -> str:
    if not ns:
        return _ZERO_TIME
    seconds, rest = divmod(ns, _NS)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
