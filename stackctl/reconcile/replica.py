"""The complete specification of a service's containers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from stackctl import labels
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
from stackctl.model.network import bridge_options
from stackctl.model.stack import ContentUse, Dependency, Service, ShareServiceNetwork, Stack, namespace_services
from stackctl.reconcile.origin import origin_of

_HEALTH_FIELDS: Final = (
    "test",
    "interval_s",
    "timeout_s",
    "retries",
    "start_period_s",
    "start_interval_s",
)


def container_name(stack: Stack, service: Service, number: int) -> str:
    """Return the name of a replica."""
    return service.container_name or f"{stack.name}-{service.name}-{number}"


def anonymous_name(stack: str, service: str, number: int, target: str) -> str:
    """Return the name of the volume behind a target that names none: the same after every replacement."""
    return f"{stack}_{service}_{number}_{target_digest(target)}"


def target_digest(target: str) -> str:
    """Return 12 hex digits that stand for a path in the container."""
    return hashlib.sha256(target.rstrip("/").encode()).hexdigest()[:12]


def dependencies(service: Service) -> tuple[Dependency, ...]:
    """Return what the service depends on: as written, and the owners of namespaces it shares."""
    written = {dependency.service for dependency in service.depends_on}
    implied = [Dependency(service=name, restart=True) for name in namespace_services(service) if name not in written]
    return (*service.depends_on, *implied)


def depends_on_text(dependency: Dependency) -> str:
    """Return one dependency as the label holds it."""
    return f"{dependency.service}:{dependency.condition}:{str(dependency.restart).lower()}"


def service_spec(
    stack: Stack,
    service: Service,
    image: ResolvedImage,
    contents: Mapping[str, str],
    version: str,
) -> ContainerSpec:
    """Return what the service's replicas have in common.

    It has no name and no number yet, and anonymous volumes are not named: ``numbered`` adds those.
    """
    config = image.config
    spec = ContainerSpec(
        name="",
        image_ref=service.image,
        image_id=image.id,
        argv=_argv(service, config),
        env=_env(service, config),
        working_dir=service.working_dir or config.working_dir,
        user=service.user or config.user,
        group_add=service.group_add,
        hostname=service.hostname,
        domainname=service.domainname,
        mounts=_mounts(service, config, contents),
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
        seccomp_profile=service.seccomp_profile,
        read_only=service.read_only,
        init=service.init,
        tty=service.tty,
        stdin_open=service.stdin_open,
        exposed_ports=tuple(sorted({*service.expose, *config.ports})),
        devices=service.devices,
        device_rules=service.device_rules,
        pid_mode=namespace_mode(stack, service.pid_mode, 1),
        ipc_mode=namespace_mode(stack, service.ipc_mode, 1),
        uts_mode=service.uts_mode,
        cgroup_mode=service.cgroup_mode,
        unmasked=service.unmasked,
        oom_score_adj=service.oom_score_adj,
        log=service.log,
        post_start=service.post_start,
        pre_stop=service.pre_stop,
        origin=origin_of(stack, service, config.entrypoint),
    )
    return replace(spec, labels=_labels(stack, service, spec, config, version))


def numbered(stack: Stack, service: Service, common: ContainerSpec, number: int) -> ContainerSpec:
    """Return the specification of one replica."""
    mounts = tuple(
        replace(mount, volume=anonymous_name(stack.name, service.name, number, mount.target))
        if isinstance(mount, VolumeMount) and not mount.volume
        else mount
        for mount in common.mounts
    )
    marks = tuple(sorted((*common.labels, (labels.CONTAINER_NUMBER, str(number)))))
    return replace(common, name=container_name(stack, service, number), mounts=mounts, labels=marks)


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


def _mounts(service: Service, config: ImageConfig, contents: Mapping[str, str]) -> tuple[Mount, ...]:
    found = [_content(mount, contents) if isinstance(mount, ContentUse) else mount for mount in service.mounts]
    taken = {mount.target.rstrip("/") for mount in found}
    for target in config.volumes:
        if target.rstrip("/") not in taken:
            found.append(VolumeMount(volume="", target=target))
    return tuple(found)


def _content(use: ContentUse, contents: Mapping[str, str]) -> ContentMount:
    return ContentMount(
        kind=use.kind,
        name=use.name,
        target=use.target,
        fingerprint=contents.get(f"{use.kind}/{use.name}", ""),
        uid=use.uid,
        gid=use.gid,
        mode=use.mode,
    )


def _share(stack: Stack, service: Service, port: PublishedPort) -> PublishedPort:
    # One fixed host port can only be shared; out of a range, or of all, each replica gets its own.
    is_fixed = port.host_first > 0 and port.host_first == port.host_last
    port = replace(port, host_ip=port.host_ip or _host_ip(stack, service))
    return replace(port, share=f"{stack.name}/{service.name}") if is_fixed else port


def _host_ip(stack: Stack, service: Service) -> str:
    """Return the host's address by which ports are reached, where the first network of a service has one for that."""
    if not isinstance(service.networking, JoinNetworks) or not service.networking.attachments:
        return ""
    first = service.networking.attachments[0].network
    options = next((network.options for network in stack.networks.values() if network.name == first), ())
    return bridge_options(options).host_ip


def _networking(stack: Stack, service: Service) -> Networking:
    match service.networking:
        case ShareServiceNetwork(service=owner):
            return ShareNetwork(container_name(stack, stack.services[owner], 1))
        case JoinNetworks(attachments=attachments):
            return JoinNetworks(tuple(_with_names(service, attachment) for attachment in attachments))
        case other:
            return other


def namespace_mode(stack: Stack, mode: str, number: int) -> str:
    """Return how a container gets a namespace; ``number`` is that of the replica it shares one with."""
    owner = mode.removeprefix("service:")
    return mode if owner == mode else f"container:{container_name(stack, stack.services[owner], number)}"


def _with_names(service: Service, attachment: Attachment) -> Attachment:
    # A container answers to its own name anyway, and so to its container_name.
    names = dict.fromkeys((service.name, *attachment.aliases))
    return replace(attachment, aliases=tuple(names))


def _health(written: HealthCheckOverride | None, image: HealthCheck | None) -> HealthCheck | None:
    merged = image
    if written is not None:
        base = image or HealthCheck(test=())
        given = {name: value for name in _HEALTH_FIELDS if (value := getattr(written, name)) not in (None, ())}
        merged = replace(base, **given)
    is_on = merged is not None and merged.test and merged.test[0] != "NONE"
    return merged if is_on else None


def _labels(
    stack: Stack, service: Service, spec: ContainerSpec, config: ImageConfig, version: str
) -> tuple[tuple[str, str], ...]:
    marks = {
        labels.PROJECT: stack.name,
        labels.SERVICE: service.name,
        labels.ONEOFF: "False",
        labels.IMAGE: spec.image_id,
        labels.DEPENDS_ON: ",".join(depends_on_text(dependency) for dependency in dependencies(service)),
        labels.WORKING_DIR: stack.working_dir,
        labels.CONFIG_FILES: ",".join(stack.config_files),
        labels.VERSION: version,
        # The user's own labels are part of what is hashed; those that say who owns the container are not.
        labels.CONFIG_HASH: fingerprint((spec, service.labels)),
    }
    return tuple(sorted({**dict(config.labels), **dict(service.labels), **marks}.items()))
