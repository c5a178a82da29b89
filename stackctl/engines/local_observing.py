"""What the supervisor tells of containers, networks and volumes, as planning sees it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from stackctl import labels
from stackctl.engines.observing import (
    container_key,
    is_oneoff,
    network_key,
    network_names,
    observed_address,
    volume_key,
    volume_names,
)
from stackctl.model.container import ContainerSpec
from stackctl.model.health import ProbeResult
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
from stackctl.runtime.supervisor_client import Message
from stackctl.wire import codec

_STATES: Final[dict[str, ContainerState]] = {
    "creating": "created",
    "created": "created",
    "starting": "created",
    "running": "running",
    "restarting": "restarting",
    "exited": "exited",
    "removing": "exited",
}


def state_of(facts: Message) -> ContainerState:
    """Return a container's state as planning counts it; ``facts`` are the supervisor's.

    One that ran before and is being started again by its policy is *restarting*: as *created*, a stop would pass it by.
    """
    if facts["phase"] == "starting" and facts["started_ns"]:
        return "restarting"
    if facts["phase"] == "running" and facts.get("is_paused"):
        return "paused"
    return _STATES[facts["phase"]]


def container_of(facts: Message, spec: ContainerSpec, networks: Mapping[str, Message]) -> ObservedContainer:
    marks = dict(spec.labels)
    state = state_of(facts)
    return ObservedContainer(
        id=facts["id"],
        name=facts["name"],
        state=state,
        key=container_key(marks),
        spec=spec,
        fingerprint=marks.get(labels.CONFIG_HASH, ""),
        health=facts["health"] if state in ("running", "paused") else "none",
        exit_code=facts["exit_code"] if state in ("exited", "restarting") else None,
        is_oneoff=is_oneoff(marks),
        is_standby=facts["is_standby"],
        image_ref=spec.image_ref,
        image_id=spec.image_id,
        labels=spec.labels,
        networks=tuple(_address(name, ip, networks) for name, ip in sorted(facts["addresses"].items())),
        ports=tuple(
            ObservedPort(host_ip=ip, host_port=host, container_port=inside, protocol=protocol)
            for ip, host, inside, protocol in facts["ports"]
        ),
        volumes=volume_names(spec),
        pid=facts["pid"],
        restart_count=facts["restart_count"],
        created_ns=facts["created_ns"],
        started_ns=facts["started_ns"],
        finished_ns=facts["finished_ns"],
        error=facts["error"],
        oom_killed=facts["oom_killed"],
        is_post_start_due=state == "running" and facts["is_post_start_due"],
        health_failures=facts["health_failures"],
        probes=tuple(ProbeResult(**result) for result in facts["health_log"]),
        network_ids=tuple((name, networks[name]["id"]) for name in network_names(spec) if name in networks),
    )


def _address(name: str, ip: str, networks: Mapping[str, Message]) -> ObservedAddress:
    network = networks.get(name, {})
    return observed_address(name, ip, subnet=network.get("subnet", ""), gateway=network.get("gateway", ""))


def networks_of(answer: Message, containers: Sequence[ObservedContainer]) -> tuple[ObservedNetwork, ...]:
    found = []
    for shape in answer["networks"]:
        spec = codec.decode(NetworkSpec, shape["spec"])
        found.append(
            ObservedNetwork(
                id=shape["id"],
                name=spec.name,
                key=network_key(dict(spec.labels)),
                spec=spec,
                subnet=shape["subnet"],
                gateway=shape["gateway"],
                labels=spec.labels,
                containers=tuple(c.name for c in containers if c.spec and spec.name in network_names(c.spec)),
                created_ns=shape["created_ns"],
            )
        )
    return tuple(sorted(found, key=lambda network: network.name))


def volumes_of(answer: Message, containers: Sequence[ObservedContainer]) -> tuple[ObservedVolume, ...]:
    found = []
    for shape in answer["volumes"]:
        spec = codec.decode(VolumeSpec, shape["spec"])
        found.append(
            ObservedVolume(
                name=spec.name,
                key=volume_key(dict(spec.labels)),
                spec=spec,
                labels=spec.labels,
                mountpoint=shape["mountpoint"],
                used_by=tuple(c.name for c in containers if spec.name in c.volumes),
                created_ns=shape["created_ns"],
            )
        )
    return tuple(sorted(found, key=lambda volume: volume.name))
