"""From what a Docker Engine tells to what planning sees. Pure. Source: Docker Engine API 1.41 to 1.51."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar, get_args

from stackctl import labels
from stackctl.engines.docker.create import limits_body
from stackctl.engines.observing import container_key, is_oneoff, network_key, network_names, volume_key
from stackctl.model.container import ContainerSpec, RestartKind
from stackctl.model.health import Health, ProbeResult
from stackctl.model.limits import Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import (
    ContainerState,
    ObservedAddress,
    ObservedContainer,
    ObservedNetwork,
    ObservedPort,
    ObservedVolume,
)
from stackctl.model.volume import VolumeSpec
from stackctl.wire import codec
from stackctl.wire.wire_error import WireError

Shape = Mapping[str, Any]
Spec = TypeVar("Spec", ContainerSpec, NetworkSpec)
_STATES: Final[Mapping[str, ContainerState]] = {
    "created": "created",
    "running": "running",
    "restarting": "restarting",
    "paused": "paused",
    "removing": "exited",
    "exited": "exited",
    "dead": "exited",
}
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_HEALTHS: Final = get_args(Health)
_RESTARTS: Final = get_args(RestartKind)
_NS: Final = 1_000_000_000


def time_ns(text: str) -> int:
    """Return nanoseconds since the epoch of a time as Go writes it, 0 for its zero and for none."""
    found = _TIME.fullmatch(text or "")
    if found is None or text.startswith("0001-"):
        return 0
    zone = "+00:00" if found[3] == "Z" else found[3]
    return int(datetime.fromisoformat(found[1] + zone).timestamp()) * _NS + int((found[2] or "").ljust(9, "0"))


def observed_container(shape: Shape, networks: Mapping[str, str]) -> ObservedContainer:
    """Return a container out of its inspection; ``networks`` are ids by name."""
    state, config, host = shape["State"], shape["Config"], shape["HostConfig"]
    marks: dict[str, str] = dict(config.get("Labels") or {})
    spec = _container_spec(marks.pop(labels.SPEC, ""), shape["Name"].removeprefix("/"), host)
    what = _STATES.get(state["Status"], "exited")
    # One that was refused its start is as if nobody had tried.
    started_ns = time_ns(state.get("StartedAt", ""))
    own = shape["NetworkSettings"].get("Networks") or {}
    health = (state.get("Health") or {}).get("Status", "none")
    return ObservedContainer(
        id=shape["Id"],
        name=shape["Name"].removeprefix("/"),
        state=what,
        key=container_key(marks),
        spec=spec,
        fingerprint=marks.get(labels.CONFIG_HASH, ""),
        health=health if health in _HEALTHS and what in ("running", "paused") else "none",
        exit_code=int(state.get("ExitCode") or 0) if what in ("exited", "restarting") else None,
        is_oneoff=is_oneoff(marks),
        image_ref=config.get("Image", ""),
        image_id=shape.get("Image", ""),
        labels=tuple(sorted(marks.items())),
        networks=tuple(_addresses(own)) if what in ("running", "paused") else (),
        ports=tuple(_ports(shape["NetworkSettings"].get("Ports") or {})),
        volumes=tuple(mount["Name"] for mount in shape.get("Mounts") or () if mount.get("Type") == "volume"),
        pid=int(state.get("Pid") or 0),
        restart_count=int(shape.get("RestartCount") or 0),
        created_ns=time_ns(shape.get("Created", "")),
        started_ns=started_ns,
        finished_ns=_finished_ns(state, what, started_ns),
        error=state.get("Error", ""),
        oom_killed=bool(state.get("OOMKilled")),
        health_failures=int((state.get("Health") or {}).get("FailingStreak") or 0),
        probes=tuple(_probe(entry) for entry in (state.get("Health") or {}).get("Log") or ()),
        network_ids=_network_ids(own, spec, networks),
    )


def _finished_ns(state: Shape, what: ContainerState, started_ns: int) -> int:
    """Return when it ended. Of one that ends at once the engine may note that before its start."""
    found = time_ns(state.get("FinishedAt", ""))
    return max(found, started_ns) if found and what == "exited" else found


def _network_ids(
    own: Mapping[str, Shape], spec: ContainerSpec | None, networks: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return the networks a container is on. One that has never run is not told the id of those it will be on."""
    ids = {name: place.get("NetworkID") or networks.get(name, "") for name, place in own.items()}
    for name in network_names(spec) if spec is not None else ():
        if name in networks:
            ids.setdefault(name, networks[name])
    return tuple(sorted((name, found) for name, found in ids.items() if found))


def _container_spec(text: str, name: str, host: Shape) -> ContainerSpec | None:
    """Return what the container was made from, with the limits and restart policy it has now."""
    spec = _from_label(ContainerSpec, text)
    if spec is None:
        return None
    restart = host.get("RestartPolicy") or {}
    kind = restart.get("Name") or "no"
    policy = replace(
        spec.restart,
        kind=kind if kind in _RESTARTS else "no",  # type: ignore[arg-type]  # one of them
        max_attempts=int(restart.get("MaximumRetryCount") or 0),
    )
    return replace(spec, name=name, limits=_limits(host, spec.limits), restart=policy)


def _limits(host: Shape, written: Limits) -> Limits:
    if _is_live(host, written):
        return written
    memory, swap = int(host.get("Memory") or 0), int(host.get("MemorySwap") or 0)
    return replace(
        written,
        nano_cpus=int(host.get("NanoCpus") or 0),
        cpu_shares=int(host.get("CpuShares") or 0),
        cpuset=host.get("CpusetCpus") or "",
        memory_bytes=memory,
        memory_reservation_bytes=int(host.get("MemoryReservation") or 0),
        memory_swap_bytes=0 if swap == 2 * memory else swap,
        pids=max(int(host.get("PidsLimit") or 0), 0),
    )


def _is_live(host: Shape, written: Limits) -> bool:
    """Whether the container has the limits that are written: what the engine made of them counts as them."""
    wanted = limits_body(written)
    # Kernels that do not count swap make the engine drop that limit.
    kernel_may_drop = {
        "MemorySwap": (0, -1),
        "MemorySwappiness": (None, -1),
        "OomKillDisable": (None, False),
        "BlkioWeight": (0,),
    }
    for key, value in wanted.items():
        found = host.get(key)
        if (found or 0) != (value or 0) and found not in kernel_may_drop.get(key, ()):
            return False
    return True


def _from_label(kind: type[Spec], text: str) -> Spec | None:
    if not text:
        return None
    try:
        return codec.decode(kind, json.loads(text))
    except (WireError, ValueError, TypeError):  # of another version of ours: the fingerprint decides
        return None


def _addresses(own: Mapping[str, Shape]) -> list[ObservedAddress]:
    return [
        ObservedAddress(
            network=name,
            ipv4=place.get("IPAddress") or "",
            mac=place.get("MacAddress") or "",
            prefix_length=int(place.get("IPPrefixLen") or 0),
            gateway=place.get("Gateway") or "",
        )
        for name, place in sorted(own.items())
        if name not in ("host", "none")
    ]


def _ports(published: Mapping[str, Sequence[Shape] | None]) -> list[ObservedPort]:
    found: dict[tuple[str, str, int], ObservedPort] = {}
    for inside, bindings in sorted(published.items()):
        number, _, protocol = inside.partition("/")
        for binding in bindings or ():
            # Every address is one entry for IPv4 and one for IPv6.
            ip = "" if binding["HostIp"] in ("0.0.0.0", "::") else binding["HostIp"]
            at = int(binding["HostPort"])
            port = ObservedPort(host_ip=ip, host_port=at, container_port=int(number), protocol=protocol)
            found[inside, ip, at] = port
    return list(found.values())


def _probe(entry: Shape) -> ProbeResult:
    return ProbeResult(
        start_ns=time_ns(entry.get("Start", "")),
        end_ns=time_ns(entry.get("End", "")),
        exit_code=int(entry.get("ExitCode") or 0),
        output=entry.get("Output", ""),
    )


def observed_network(shape: Shape, users: Sequence[str]) -> ObservedNetwork:
    """Return a network; ``users`` are the containers on it."""
    marks: dict[str, str] = dict(shape.get("Labels") or {})
    spec = _from_label(NetworkSpec, marks.pop(labels.SPEC, ""))
    pools = (shape.get("IPAM") or {}).get("Config") or [{}]
    pool = next((pool for pool in pools if "." in pool.get("Subnet", "")), pools[0])
    return ObservedNetwork(
        id=shape["Id"],
        name=shape["Name"],
        key=network_key(marks),
        spec=spec,
        subnet=pool.get("Subnet", ""),
        gateway=pool.get("Gateway", ""),
        labels=tuple(sorted(marks.items())),
        containers=tuple(sorted(users)),
        created_ns=time_ns(shape.get("Created", "")),
    )


def observed_volume(shape: Shape, users: Sequence[str]) -> ObservedVolume:
    """Return a volume; ``users`` are the containers that mount it."""
    marks = tuple(sorted((shape.get("Labels") or {}).items()))
    options = tuple(sorted((shape.get("Options") or {}).items()))
    return ObservedVolume(
        name=shape["Name"],
        key=volume_key(dict(marks)),
        spec=VolumeSpec(name=shape["Name"], driver=shape.get("Driver", "local"), options=options, labels=marks),
        labels=marks,
        mountpoint=shape.get("Mountpoint", ""),
        used_by=tuple(sorted(users)),
        created_ns=time_ns(shape.get("CreatedAt", "")),
    )
