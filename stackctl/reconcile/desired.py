"""From a Stack to what should exist: one complete specification for each resource. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from stackctl import labels
from stackctl.diagnostics import SourceRange
from stackctl.model.container import ContainerSpec, ShareNetwork, VolumeMount
from stackctl.model.fingerprint import fingerprint
from stackctl.model.image import ResolvedImage
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.stack import Dependency, Service, ShareServiceNetwork, Stack, namespace_services
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.action import BuildImage, PullImage
from stackctl.reconcile.engine import ImageRequest, PullPolicy, ResourceNames
from stackctl.reconcile.inherited import mounts_with_inherited
from stackctl.reconcile.replica import container_name, dependencies, namespace_mode, numbered, service_spec

_POLICIES: Final[Mapping[str, PullPolicy]] = {
    "": "missing",
    "missing": "missing",
    "always": "always",
    "never": "never",
    "build": "never",
}


@dataclass(frozen=True, slots=True)
class DesiredContainer:
    """One replica: its specification and what its service waits for."""

    spec: ContainerSpec
    needs: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedBuild:
    """A build that is needed: why, and where it is written."""

    action: BuildImage
    because: str
    source: SourceRange | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should exist, by key.

    ``stack`` is what it was made from. ``common`` is what the replicas of each service share, also of a
    service that should have none now: see ``replica.numbered``. ``pulls`` has the services whose image only a
    registry has so far, ``builds`` those whose image is to be built: what it will be is not known yet.
    """

    stack: Stack
    common: Mapping[str, ContainerSpec]
    containers: Mapping[ResourceKey, DesiredContainer]
    networks: Mapping[ResourceKey, NetworkSpec]
    volumes: Mapping[ResourceKey, VolumeSpec]
    version: str = ""
    pulls: Mapping[str, PullImage] = field(default_factory=lambda: MappingProxyType({}))
    builds: Mapping[str, PlannedBuild] = field(default_factory=lambda: MappingProxyType({}))

    def by_service(self) -> dict[str, list[ResourceKey]]:
        """Return the keys of every service's replicas, the lowest number first; [] where there are none."""
        found: dict[str, list[ResourceKey]] = {name: [] for name in sorted(self.stack.services)}
        for key in sorted(self.containers):
            found[key.name].append(key)
        return found


def image_requests(stack: Stack, policy: PullPolicy | None = None) -> dict[str, ImageRequest]:
    """Return which image each service needs, by service; ``policy`` comes before what the services say."""
    return {
        name: ImageRequest(
            service.image,
            service.platform,
            policy or _POLICIES[service.pull_policy],
            0.0 if policy else service.pull_max_age_s,
        )
        for name, service in stack.services.items()
    }


def resource_names(stack: Stack) -> ResourceNames:
    """Return the real names the stack wants to use."""
    containers = tuple(
        container_name(stack, service, number)
        for service in stack.services.values()
        for number in range(1, service.replicas + 1)
    )
    networks = tuple(network.name for network in stack.networks.values())
    return ResourceNames(containers, networks, tuple(volume.name for volume in stack.volumes.values()))


_NO_BUILDS: Final[Mapping[str, PlannedBuild]] = MappingProxyType({})


def desired(
    stack: Stack,
    images: Mapping[str, ResolvedImage],
    contents: Mapping[str, str],
    *,
    version: str,
    builds: Mapping[str, PlannedBuild] = _NO_BUILDS,
) -> Desired:
    """Decide everything that should exist.

    ``images`` is keyed by service; ``contents`` maps ``config/KEY`` and ``secret/KEY`` to fingerprints;
    ``version`` goes into the labels. ``builds`` are by service, too: until one is done its image has no id.
    """
    images = {name: replace(image, id="") if name in builds else image for name, image in images.items()}
    common = {
        name: service_spec(stack, service, images[name], contents, version) for name, service in stack.services.items()
    }
    networks = {
        ResourceKey("network", key): label_network(stack, key, spec, version) for key, spec in stack.networks.items()
    }
    volumes = {
        ResourceKey("volume", key): _label_volume(stack, key, spec, version) for key, spec in stack.volumes.items()
    }
    numbers = {name: tuple(range(1, service.replicas + 1)) for name, service in stack.services.items()}
    pulls = {
        name: PullImage(service.image, service.platform, images[name].id, images[name].remote_digest)
        for name, service in stack.services.items()
        if images[name].remote_digest
    }
    bare = Desired(
        stack,
        MappingProxyType(common),
        {},
        MappingProxyType(networks),
        MappingProxyType(volumes),
        version,
        MappingProxyType(pulls),
        MappingProxyType(dict(builds)),
    )
    return with_numbers(bare, numbers)


def with_numbers(wanted: Desired, numbers: Mapping[str, Sequence[int]]) -> Desired:
    """Return the same with other numbers for the replicas of the services named in ``numbers``."""
    stack = wanted.stack
    containers = {key: container for key, container in wanted.containers.items() if key.name not in numbers}
    for name, chosen in numbers.items():
        service = stack.services[name]
        needs = dependencies(service)
        for number in chosen:
            spec = numbered(stack, service, wanted.common[name], number)
            containers[ResourceKey("container", name, number)] = DesiredContainer(spec, needs)
    containers |= dict(_inheriting(wanted, containers))
    containers |= dict(_sharing_the_first(stack, containers))
    volumes = {**wanted.volumes, **_anonymous_volumes(wanted, containers)}
    return replace(
        wanted,
        containers=MappingProxyType(dict(sorted(containers.items()))),
        volumes=MappingProxyType(dict(sorted(volumes.items()))),
    )


def _inheriting(
    wanted: Desired, containers: Mapping[ResourceKey, DesiredContainer]
) -> Iterator[tuple[ResourceKey, DesiredContainer]]:
    """Let each container have the mounts of the services that it takes volumes from."""
    stack = wanted.stack
    if not any(service.volumes_from for service in stack.services.values()):
        return
    first = _first_numbers(containers)
    for key, container in containers.items():
        if stack.services[key.name].volumes_from:
            mounts = mounts_with_inherited(stack, wanted.common, first, key.name, key.number)
            yield key, replace(container, spec=replace(container.spec, mounts=mounts))


def _first_numbers(containers: Iterable[ResourceKey]) -> dict[str, int]:
    first: dict[str, int] = {}
    for key in containers:
        first[key.name] = min(key.number, first.get(key.name, key.number))
    return first


def _sharing_the_first(
    stack: Stack, containers: Mapping[ResourceKey, DesiredContainer]
) -> Iterator[tuple[ResourceKey, DesiredContainer]]:
    """Let each container that shares namespaces of a service share those of the first replica there is."""
    sharing = {name for name, service in stack.services.items() if namespace_services(service)}
    if not sharing:
        return
    first = _first_numbers(containers)
    for key, container in containers.items():
        if key.name in sharing:
            yield key, replace(container, spec=_sharing(stack, stack.services[key.name], container.spec, first))


def _sharing(stack: Stack, service: Service, spec: ContainerSpec, first: Mapping[str, int]) -> ContainerSpec:
    networking = spec.networking
    if isinstance(service.networking, ShareServiceNetwork) and service.networking.service in first:
        owner = service.networking.service
        networking = ShareNetwork(container_name(stack, stack.services[owner], first[owner]))
    pid_mode, ipc_mode = (
        namespace_mode(stack, mode, first.get(mode.removeprefix("service:"), 1))
        for mode in (service.pid_mode, service.ipc_mode)
    )
    return replace(spec, networking=networking, pid_mode=pid_mode, ipc_mode=ipc_mode)


def anonymous_volume(stack: str, name: str, version: str) -> VolumeSpec:
    """Return the volume behind a target that names none."""
    marks = {
        labels.ANONYMOUS_VOLUME: "",
        labels.PROJECT: stack,
        labels.VOLUME: name,
        labels.VERSION: version,
    }
    return VolumeSpec(name=name, labels=tuple(sorted(marks.items())))


def _anonymous_volumes(
    wanted: Desired, containers: Mapping[ResourceKey, DesiredContainer]
) -> dict[ResourceKey, VolumeSpec]:
    declared = {volume.name for volume in wanted.stack.volumes.values()}
    names = {
        mount.volume
        for container in containers.values()
        for mount in container.spec.mounts
        if isinstance(mount, VolumeMount)
    }
    return {
        ResourceKey("volume", name): anonymous_volume(wanted.stack.name, name, wanted.version)
        for name in sorted(names - declared)
    }


def label_network(stack: Stack, key: str, spec: NetworkSpec, version: str) -> NetworkSpec:
    """Return the network with the labels that say whose it is; an external one as it is."""
    if spec.is_external:
        return spec
    marks = {
        labels.PROJECT: stack.name,
        labels.NETWORK: key,
        labels.VERSION: version,
        labels.CONFIG_HASH: fingerprint(spec),
    }
    return replace(spec, labels=tuple(sorted({**dict(spec.labels), **marks}.items())))


def _label_volume(stack: Stack, key: str, spec: VolumeSpec, version: str) -> VolumeSpec:
    if spec.is_external:
        return spec
    marks = {
        labels.PROJECT: stack.name,
        labels.VOLUME: key,
        labels.VERSION: version,
        labels.CONFIG_HASH: fingerprint(spec),
    }
    return replace(spec, labels=tuple(sorted({**dict(spec.labels), **marks}.items())))
