"""From a Stack to what should exist on an engine whose grain is the service. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from stackctl import labels
from stackctl.model.container import (
    Attachment,
    BindMount,
    HostNetwork,
    JoinNetworks,
    NoNetwork,
    TmpfsMount,
    VolumeMount,
)
from stackctl.model.deploy import RestartRule, UpdatePolicy
from stackctl.model.health import HealthCheckOverride
from stackctl.model.key import ResourceKey
from stackctl.model.limits import Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ContentSpec, ServiceSpec, TaskContent, TaskMount
from stackctl.model.stack import ContentSource, ContentUse, Service, Stack
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.desired import label_network
from stackctl.reconcile.engine import ResourceNames, Traits
from stackctl.reconcile.replica import depends_on_text
from stackctl.reconcile.services.origin import service_origin

_NAME_CHARACTERS: Final = 64
_SUFFIX_CHARACTERS: Final = 12
_SHM: Final = "/dev/shm"
_SHM_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DesiredServices:
    """Everything that should exist, by key; ``stack`` is what it was made from."""

    stack: Stack
    services: Mapping[ResourceKey, ServiceSpec]
    networks: Mapping[ResourceKey, NetworkSpec]
    contents: Mapping[ResourceKey, ContentSpec]


def service_name(stack: Stack, service: str) -> str:
    """Return the real name of a service."""
    return f"{stack.name}_{service}"


def service_names(stack: Stack) -> ResourceNames:
    """Return the real names the stack wants to use; configs and secrets that it makes are told by their labels."""
    return ResourceNames(
        networks=tuple(network.name for network in stack.networks.values()),
        volumes=tuple(volume.name for volume in stack.volumes.values()),
        services=tuple(service_name(stack, name) for name in stack.services),
        contents=tuple(source.name for source in stack.contents.values() if source.is_external),
    )


def desired_services(
    stack: Stack, images: Mapping[str, str], contents: Mapping[str, str], traits: Traits, *, version: str
) -> DesiredServices:
    """Decide everything that should exist.

    ``images`` has the reference that the tasks of each service run; ``contents`` maps ``config/KEY`` and
    ``secret/KEY`` to fingerprints, keyed so that nobody can try out what they stand for.
    """
    networks = {}
    for key, spec in stack.networks.items():
        driver = traits.network_driver if spec.driver == "bridge" else spec.driver
        networks[ResourceKey("network", key)] = label_network(stack, key, replace(spec, driver=driver), version)
    made = {
        key: _content(stack, source, contents.get(key, ""), key.partition("/")[2])
        for key, source in stack.contents.items()
    }
    return DesiredServices(
        stack,
        MappingProxyType(
            {
                ResourceKey("service", name): _service(stack, service, images[name], made, version)
                for name, service in sorted(stack.services.items())
            }
        ),
        MappingProxyType(networks),
        MappingProxyType({ResourceKey(spec.kind, key.partition("/")[2]): spec for key, spec in made.items()}),
    )


def _content(stack: Stack, source: ContentSource, fingerprint: str, key: str) -> ContentSpec:
    if source.is_external:
        return ContentSpec(kind=source.kind, name=source.name, is_external=True)
    # A config or secret cannot be changed: another content is another name, and the old one goes once unused.
    suffix = base64.b32encode(bytes.fromhex(fingerprint)).decode()[:_SUFFIX_CHARACTERS].lower()
    name = f"{source.name[: _NAME_CHARACTERS - _SUFFIX_CHARACTERS - 1]}-{suffix}"
    marks = {**dict(source.labels), labels.PROJECT: stack.name, labels.CONTENT: key}
    return ContentSpec(kind=source.kind, name=name, fingerprint=fingerprint, labels=tuple(sorted(marks.items())))


def _service(
    stack: Stack, service: Service, image: str, contents: Mapping[str, ContentSpec], version: str
) -> ServiceSpec:
    deploy = service.deploy
    is_global = deploy.mode in ("global", "global-job")
    return ServiceSpec(
        name=service_name(stack, service.name),
        image_ref=service.image,
        image=image,
        mode=deploy.mode,
        replicas=0 if is_global else service.replicas,
        entrypoint=service.entrypoint or (),
        command=service.command or (),
        env=tuple(sorted(f"{key}={value}" for key, value in service.environment if value is not None)),
        working_dir=service.working_dir,
        user=service.user,
        group_add=service.group_add,
        hostname=service.hostname,
        container_labels=tuple(sorted(service.labels)),
        labels=_labels(stack, service, version),
        mounts=_mounts(service),
        volumes=_volumes(stack, service),
        contents=tuple(
            sorted(
                (_use(use, contents) for use in service.mounts if isinstance(use, ContentUse)),
                key=lambda use: (use.kind, use.target),
            )
        ),
        networks=_networks(service),
        endpoint_mode=deploy.endpoint_mode,
        ports=tuple(sorted(deploy.ports, key=lambda port: (port.published, port.target, port.protocol))),
        dns=service.dns,
        extra_hosts=tuple(sorted(service.extra_hosts)),
        limits=_limits(service),
        reservations=deploy.reservations,
        ulimits=tuple(sorted(service.ulimits, key=lambda ulimit: ulimit.name)),
        sysctls=tuple(sorted(service.sysctls)),
        restart=_restart(service),
        placement=deploy.placement,
        update=deploy.update or UpdatePolicy(),
        rollback=deploy.rollback or UpdatePolicy(),
        stop_signal=service.stop_signal,
        stop_grace_s=service.stop_grace_s,
        health=_health(service.healthcheck),
        cap_add=tuple(sorted(service.cap_add)),
        cap_drop=tuple(sorted(service.cap_drop)),
        read_only=service.read_only,
        init=service.init,
        tty=service.tty,
        stdin_open=service.stdin_open,
        log=deploy.log,
        origin=service_origin(stack, service),
    )


def _restart(service: Service) -> RestartRule:
    """A job that succeeded is not run again; what else a service does unless it says so is the engine's own way."""
    is_job = service.deploy.mode in ("replicated-job", "global-job")
    written = service.deploy.restart or RestartRule()
    return replace(written, condition="on-failure") if is_job and written.condition == "any" else written


def _labels(stack: Stack, service: Service, version: str) -> tuple[tuple[str, str], ...]:
    marks = {
        labels.PROJECT: stack.name,
        labels.SERVICE: service.name,
        labels.DEPENDS_ON: ",".join(depends_on_text(dependency) for dependency in service.depends_on),
        labels.WORKING_DIR: stack.working_dir,
        labels.CONFIG_FILES: ",".join(stack.config_files),
        labels.VERSION: version,
    }
    return tuple(sorted({**dict(service.deploy.labels), **marks}.items()))


def _mounts(service: Service) -> tuple[TaskMount, ...]:
    """What such an engine has no words for is left out: whether the source of a bind mount may be made, options of a
    tmpfs. ``shm_size`` becomes a mount of that size."""
    found: list[TaskMount] = []
    if service.shm_size_bytes != _SHM_BYTES and all(mount.target != _SHM for mount in service.mounts):
        found.append(TmpfsMount(target=_SHM, size_bytes=service.shm_size_bytes))
    for mount in service.mounts:
        match mount:
            case BindMount():
                found.append(replace(mount, create_source=True))
            case TmpfsMount():
                found.append(replace(mount, options=(), mode=mount.mode or None))
            case VolumeMount():
                found.append(mount)
            case ContentUse():
                pass
    return tuple(sorted(found, key=lambda mount: mount.target))


def _limits(service: Service) -> Limits:
    """Of all limits there are these three."""
    limits = service.limits
    return Limits(nano_cpus=limits.nano_cpus, memory_bytes=limits.memory_bytes, pids=limits.pids)


def _health(check: HealthCheckOverride | None) -> HealthCheckOverride | None:
    return None if check is None else replace(check, start_period_s=check.start_period_s or None, start_interval_s=None)


def _volumes(stack: Stack, service: Service) -> tuple[VolumeSpec, ...]:
    used = {mount.volume for mount in service.mounts if isinstance(mount, VolumeMount)}
    found = []
    for key, volume in stack.volumes.items():
        if volume.name in used and not volume.is_external:
            # No version among the labels: they are part of what tasks are made from.
            marks = {**dict(volume.labels), labels.PROJECT: stack.name, labels.VOLUME: key}
            found.append(replace(volume, labels=tuple(sorted(marks.items()))))
    return tuple(sorted(found, key=lambda volume: volume.name))


def _use(use: ContentUse, contents: Mapping[str, ContentSpec]) -> TaskContent:
    spec = contents.get(f"{use.kind}/{use.name}")
    name = spec.name if spec is not None else use.name
    return TaskContent(kind=use.kind, name=name, target=use.target, uid=use.uid, gid=use.gid, mode=use.mode)


def _networks(service: Service) -> tuple[Attachment, ...]:
    match service.networking:
        case JoinNetworks(attachments=attachments):
            found = (
                Attachment(network=at.network, aliases=tuple(dict.fromkeys((service.name, *at.aliases))))
                for at in attachments
            )
            return tuple(sorted(found, key=lambda at: at.network))
        case HostNetwork():
            return (Attachment(network="host"),)
        case NoNetwork():
            return (Attachment(network="none"),)
        case _:  # one that shares another's network: refused before this
            return ()
