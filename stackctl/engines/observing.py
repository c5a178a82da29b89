"""What labels and addresses say about live things, the same for every engine of ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from stackctl import labels
from stackctl.errors import Conflict
from stackctl.model.container import ContainerSpec, JoinNetworks, VolumeMount
from stackctl.model.fingerprint import fingerprint
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedAddress, ObservedContainer, ObservedNetwork, ObservedVolume
from stackctl.reconcile.engine import ResourceNames

Labels = tuple[tuple[str, str], ...]


def container_key(marks: Mapping[str, str]) -> ResourceKey | None:
    """Return the replica that a container's labels claim to be; None for a one-off, or for none."""
    service, number = marks.get(labels.SERVICE), marks.get(labels.CONTAINER_NUMBER, "1")
    if is_oneoff(marks) or not service or labels.PROJECT not in marks or not number.isdigit():
        return None
    return ResourceKey("container", service, int(number))


def is_oneoff(marks: Mapping[str, str]) -> bool:
    """Whether labels say that a container is one of `run`."""
    return marks.get(labels.ONEOFF) == "True"


def network_key(marks: Mapping[str, str]) -> ResourceKey | None:
    """Return the network of a stack that labels claim to be."""
    key = marks.get(labels.NETWORK)
    return ResourceKey("network", key) if key and labels.PROJECT in marks else None


def volume_key(marks: Mapping[str, str]) -> ResourceKey | None:
    """Return the volume of a stack that labels claim to be."""
    key = marks.get(labels.VOLUME)
    return ResourceKey("volume", key) if key and labels.PROJECT in marks else None


def network_names(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the networks that a container is on, running or not."""
    networking = spec.networking
    return tuple(a.network for a in networking.attachments) if isinstance(networking, JoinNetworks) else ()


def volume_names(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the volumes that a container mounts."""
    return tuple(mount.volume for mount in spec.mounts if isinstance(mount, VolumeMount))


def observed_address(network: str, ipv4: str, *, subnet: str, gateway: str) -> ObservedAddress:
    """Return a container's place on a network; ``ipv4`` is "" for one that has none yet."""
    octets = [int(part) for part in ipv4.split(".")] if ipv4 else [0, 0, 0, 0]
    return ObservedAddress(
        network=network,
        ipv4=ipv4,
        mac="02:42:" + ":".join(f"{octet:02x}" for octet in octets),
        prefix_length=int(subnet.partition("/")[2] or 0),
        gateway=gateway,
    )


def observed(
    stack: str,
    names: ResourceNames,
    containers: tuple[ObservedContainer, ...],
    networks: tuple[ObservedNetwork, ...],
    volumes: tuple[ObservedVolume, ...],
) -> Observed:
    """Return what belongs to ``stack`` or has one of ``names``, with the fingerprint of all that."""
    wanted = (set(names.containers), set(names.networks), set(names.volumes))
    found = Observed(
        stack=stack,
        containers=tuple(c for c in containers if _project(c.labels) == stack or c.name in wanted[0]),
        networks=tuple(n for n in networks if _project(n.labels) == stack or n.name in wanted[1]),
        volumes=tuple(v for v in volumes if _project(v.labels) == stack or v.name in wanted[2]),
    )
    return Observed(
        stack=stack,
        containers=found.containers,
        networks=found.networks,
        volumes=found.volumes,
        fingerprint=fingerprint(found),
    )


def changed(kind: str, name: str) -> Conflict:
    """Return the refusal to touch another thing than the one the plan was made for."""
    return Conflict(
        f"{kind} {name} is no longer the one the plan was made for",
        code=f"{kind}-changed",
        hint="something else changed the stack meanwhile: run the command again",
    )


def _project(pairs: Labels) -> str:
    return dict(pairs).get(labels.PROJECT, "")
