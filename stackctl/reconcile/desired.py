"""From a Stack to what should exist: one complete specification for each resource. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from stackctl import labels
from stackctl.diagnostics import SourceRange
from stackctl.model.container import (
    Attachment,
    ContainerSpec,
    ContentMount,
    JoinNetworks,
    Mount,
    Networking,
    PublishedPort,
    ShareNetwork,
    VolumeMount,
)
from stackctl.model.fingerprint import fingerprint
from stackctl.model.health import HealthCheck, HealthCheckOverride
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.stack import ContentUse, Dependency, Service, ShareServiceNetwork, Stack
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.engine import ImageRequest, ResourceNames

# What tells replicas of one service apart is no part of what they are made from.
_NOT_HASHED: Final = frozenset({"name", "labels"})
_FIELD_KEYS: Final = MappingProxyType({
    "image_ref": "image",
    "image_id": "image",
    "argv": "command",
    "env": "environment",
    "mounts": "volumes",
    "networking": "networks",
    "limits": "deploy",
    "stop_grace_s": "stop_grace_period",
    "health": "healthcheck",
    "shm_size_bytes": "shm_size",
    "init": "init",
})


@dataclass(frozen=True, slots=True)
class DesiredContainer:
    """One replica: its specification and what its service waits for."""

    spec: ContainerSpec
    needs: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should exist, by key; ``stack`` is what it was made from."""

    stack: Stack
    containers: Mapping[ResourceKey, DesiredContainer]
    networks: Mapping[ResourceKey, NetworkSpec]
    volumes: Mapping[ResourceKey, VolumeSpec]


def image_requests(stack: Stack) -> dict[str, ImageRequest]:
    """Return which image each service needs, by service."""
    return {name: ImageRequest(service.image, service.platform) for name, service in stack.services.items()}


def resource_names(stack: Stack) -> ResourceNames:
    """Return the real names the stack wants to use."""
    containers = tuple(
        container_name(stack, service, number)
        for service in stack.services.values()
        for number in range(1, service.replicas + 1)
    )
    networks = tuple(network.name for network in stack.networks.values())
    return ResourceNames(containers, networks, tuple(volume.name for volume in stack.volumes.values()))


def container_name(stack: Stack, service: Service, number: int) -> str:
    """Return the name of a replica."""
    return service.container_name or f"{stack.name}-{service.name}-{number}"


def desired(
    stack: Stack, images: Mapping[str, ResolvedImage], contents: Mapping[str, str], *, version: str
) -> Desired:
    """Decide everything that should exist.

    ``images`` is keyed by service; ``contents`` maps ``config/KEY`` and ``secret/KEY`` to fingerprints;
    ``version`` goes into the labels.
    """
    containers = {}
    anonymous: dict[ResourceKey, VolumeSpec] = {}
    for name, service in stack.services.items():
        for number in range(1, service.replicas + 1):
            key = ResourceKey("container", name, number)
            spec = container_spec(stack, service, number, images[name], contents, version)
            containers[key] = DesiredContainer(spec, service.depends_on + _implied(service))
            anonymous.update(_anonymous_volumes(stack, spec, version))
    networks = {
        ResourceKey("network", key): _label_network(stack, key, spec, version) for key, spec in stack.networks.items()
    }
    volumes = {
        ResourceKey("volume", key): _label_volume(stack, key, spec, version) for key, spec in stack.volumes.items()
    }
    return Desired(
        stack, MappingProxyType(containers), MappingProxyType(networks), MappingProxyType({**volumes, **anonymous})
    )


def container_spec(
    stack: Stack,
    service: Service,
    number: int,
    image: ResolvedImage,
    contents: Mapping[str, str],
    version: str,
) -> ContainerSpec:
    """Return the complete specification of one replica."""
    config = image.config
    name = container_name(stack, service, number)
    spec = ContainerSpec(
        name=name,
        image_ref=service.image,
        image_id=image.id,
        argv=_argv(service, config),
        env=_env(service, config),
        working_dir=service.working_dir or config.working_dir,
        user=service.user or config.user,
        group_add=service.group_add,
        hostname=service.hostname,
        domainname=service.domainname,
        mounts=_mounts(stack, service, number, config, contents),
        ports=tuple(_share(stack, service, port) for port in service.ports),
        networking=_networking(stack, service),
        dns=service.dns,
        extra_hosts=service.extra_hosts,
        limits=service.limits,
        ulimits=service.ulimits,
        sysctls=service.sysctls,
        shm_size_bytes=service.shm_size_bytes,
        restart=service.restart,
        stop_signal=service.stop_signal or config.stop_signal or "SIGTERM",
        stop_grace_s=service.stop_grace_s,
        health=_health(service.healthcheck, config.health),
        cap_add=service.cap_add,
        cap_drop=service.cap_drop,
        privileged=service.privileged,
        no_new_privileges=service.no_new_privileges,
        seccomp=service.seccomp,
        read_only=service.read_only,
        init=service.init,
        tty=service.tty,
        stdin_open=service.stdin_open,
        devices=service.devices,
        pid_mode=service.pid_mode,
        ipc_mode=service.ipc_mode,
        oom_score_adj=service.oom_score_adj,
        log=service.log,
        origin=_origin(stack, service.name),
    )
    marks = _labels(stack, service, number, image, version)
    # The user's own labels are part of what is hashed; those that say who owns the container are not.
    marks[labels.CONFIG_HASH] = fingerprint((spec, service.labels), leave_out=_NOT_HASHED)
    merged = {**dict(config.labels), **dict(service.labels), **marks}
    return replace(spec, labels=tuple(sorted(merged.items())))


def spec_fingerprint(spec: ContainerSpec) -> str:
    """Return what two specifications of the same service's replicas have in common."""
    return fingerprint(spec, leave_out=_NOT_HASHED)


def _argv(service: Service, config: ImageConfig) -> tuple[str, ...]:
    # An entrypoint of the service's own drops the image's command as well.
    if service.entrypoint is not None:
        return (*service.entrypoint, *(service.command or ()))
    command = config.cmd if service.command is None else service.command
    return (*config.entrypoint, *command)


def _env(service: Service, config: ImageConfig) -> tuple[str, ...]:
    merged: dict[str, str | None] = {}
    for entry in config.env:
        key, _, value = entry.partition("=")
        merged[key] = value
    merged.update(dict(service.environment))
    return tuple(f"{key}={value}" for key, value in merged.items() if value is not None)


def _mounts(
    stack: Stack, service: Service, number: int, config: ImageConfig, contents: Mapping[str, str]
) -> tuple[Mount, ...]:
    found: list[Mount] = []
    for mount in service.mounts:
        match mount:
            case ContentUse(kind=kind, name=name):
                found.append(
                    ContentMount(
                        kind=kind,
                        name=name,
                        target=mount.target,
                        fingerprint=contents.get(f"{kind}/{name}", ""),
                        uid=mount.uid,
                        gid=mount.gid,
                        mode=mount.mode,
                    )
                )
            case VolumeMount(volume="", target=target):
                found.append(replace(mount, volume=anonymous_name(stack, service, number, target)))
            case _:
                found.append(mount)
    taken = {mount.target.rstrip("/") for mount in found}
    for target in config.volumes:
        if target.rstrip("/") not in taken:
            found.append(VolumeMount(volume=anonymous_name(stack, service, number, target), target=target))
    return tuple(found)


def anonymous_name(stack: Stack, service: Service, number: int, target: str) -> str:
    """Return the name of the volume behind a target that names none: the same after every replacement."""
    digest = hashlib.sha256(target.rstrip("/").encode()).hexdigest()[:12]
    return f"{stack.name}_{service.name}_{number}_{digest}"


def _anonymous_volumes(stack: Stack, spec: ContainerSpec, version: str) -> dict[ResourceKey, VolumeSpec]:
    declared = {volume.name for volume in stack.volumes.values()}
    found = {}
    for mount in spec.mounts:
        if isinstance(mount, VolumeMount) and mount.volume not in declared:
            marks = {
                labels.ANONYMOUS_VOLUME: "",
                labels.PROJECT: stack.name,
                labels.VOLUME: mount.volume,
                labels.VERSION: version,
            }
            key = ResourceKey("volume", mount.volume)
            found[key] = VolumeSpec(name=mount.volume, labels=tuple(sorted(marks.items())))
    return found


def _share(stack: Stack, service: Service, port: PublishedPort) -> PublishedPort:
    # One fixed host port can only be shared; out of a range, or of all, each replica gets its own.
    is_fixed = port.host_first > 0 and port.host_first == port.host_last
    return replace(port, share=f"{stack.name}/{service.name}") if is_fixed else port


def _networking(stack: Stack, service: Service) -> Networking:
    match service.networking:
        case ShareServiceNetwork(service=owner):
            return ShareNetwork(container_name(stack, stack.services[owner], 1))
        case JoinNetworks(attachments=attachments):
            return JoinNetworks(tuple(_with_names(service, attachment) for attachment in attachments))
        case other:
            return other


def _with_names(service: Service, attachment: Attachment) -> Attachment:
    names = dict.fromkeys((service.name, *attachment.aliases))
    return replace(attachment, aliases=tuple(names))


def _implied(service: Service) -> tuple[Dependency, ...]:
    written = {dependency.service for dependency in service.depends_on}
    if isinstance(service.networking, ShareServiceNetwork) and service.networking.service not in written:
        return (Dependency(service=service.networking.service, restart=True),)
    return ()


def _health(written: HealthCheckOverride | None, image: HealthCheck | None) -> HealthCheck | None:
    if written is None:
        return image
    base = image or HealthCheck(test=())
    given = {
        name: value
        for name in ("test", "interval_s", "timeout_s", "retries", "start_period_s", "start_interval_s")
        if (value := getattr(written, name)) is not None
    }
    merged = replace(base, **given)
    return merged if merged.test else None


def _labels(
    stack: Stack, service: Service, number: int, image: ResolvedImage, version: str
) -> dict[str, str]:
    needs = service.depends_on + _implied(service)
    return {
        labels.PROJECT: stack.name,
        labels.SERVICE: service.name,
        labels.CONTAINER_NUMBER: str(number),
        labels.ONEOFF: "False",
        labels.IMAGE: image.id,
        labels.DEPENDS_ON: ",".join(depends_on_text(dependency) for dependency in needs),
        labels.WORKING_DIR: stack.working_dir,
        labels.CONFIG_FILES: ",".join(stack.config_files),
        labels.VERSION: version,
    }


def depends_on_text(dependency: Dependency) -> str:
    """Return one dependency as the label holds it."""
    return f"{dependency.service}:{dependency.condition}:{str(dependency.restart).lower()}"


def _label_network(stack: Stack, key: str, spec: NetworkSpec, version: str) -> NetworkSpec:
    if spec.is_external:
        return spec
    marks = {labels.PROJECT: stack.name, labels.NETWORK: key, labels.VERSION: version}
    return replace(spec, labels=tuple(sorted({**dict(spec.labels), **marks}.items())))


def _label_volume(stack: Stack, key: str, spec: VolumeSpec, version: str) -> VolumeSpec:
    if spec.is_external:
        return spec
    marks = {labels.PROJECT: stack.name, labels.VOLUME: key, labels.VERSION: version}
    return replace(spec, labels=tuple(sorted({**dict(spec.labels), **marks}.items())))


def _origin(stack: Stack, service: str) -> Mapping[str, SourceRange]:
    found = {}
    for name in ContainerSpec.__slots__:
        where = stack.positions.get(("services", service, _FIELD_KEYS.get(name, name)))
        if where is not None:
            found[name] = where
    own = stack.positions.get(("services", service))
    if own is not None:
        found[""] = own
    return MappingProxyType(found)
