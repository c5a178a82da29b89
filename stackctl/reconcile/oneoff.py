"""One-off containers of `run`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stackctl import labels
from stackctl.model.container import (
    Attachment,
    ContainerSpec,
    JoinNetworks,
    Mount,
    Networking,
    PublishedPort,
    RestartPolicy,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOverrides:
    """What the command line of `run` changes about the service.

    ``command`` is the whole argv, None for the service's own.
    """

    command: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    name: str = ""
    tty: bool = False
    stdin_open: bool = False
    service_ports: bool = False
    ports: tuple[PublishedPort, ...] = ()
    mounts: tuple[Mount, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    use_aliases: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()


def oneoff_spec(spec: ContainerSpec, project: str, service: str, overrides: RunOverrides, slug: str) -> ContainerSpec:
    """Turn a service's first replica into a one-off: no restart, health check or hooks, no ports unless asked for."""
    marks = {**dict(spec.labels), **dict(overrides.labels), labels.ONEOFF: "True", labels.SLUG: slug}
    marks.pop(labels.CONTAINER_NUMBER, None)
    ports = tuple(replace(port, share="") for port in spec.ports) if overrides.service_ports else ()
    argv = overrides.command if overrides.command is not None else spec.argv
    targets = {mount.target for mount in overrides.mounts}
    return replace(
        spec,
        name=overrides.name or f"{project}-{service}-run-{slug}",
        argv=argv,
        env=_env(spec.env, overrides.environment),
        user=overrides.user or spec.user,
        working_dir=overrides.working_dir or spec.working_dir,
        tty=overrides.tty,
        stdin_open=overrides.stdin_open,
        stdin_once=overrides.stdin_open,
        ports=(*ports, *overrides.ports),
        mounts=(*(mount for mount in spec.mounts if mount.target not in targets), *overrides.mounts),
        networking=_networking(spec, overrides.use_aliases),
        cap_add=(*(name for name in spec.cap_add if name not in overrides.cap_drop), *overrides.cap_add),
        cap_drop=(*(name for name in spec.cap_drop if name not in overrides.cap_add), *overrides.cap_drop),
        restart=RestartPolicy(),
        health=None,
        post_start=(),
        pre_stop=(),
        labels=tuple(sorted(marks.items())),
    )


def _env(base: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    merged = {entry.partition("=")[0]: entry for entry in (*base, *added)}
    return tuple(merged.values())


def _networking(spec: ContainerSpec, use_aliases: bool) -> Networking:
    if use_aliases or not isinstance(spec.networking, JoinNetworks):
        return spec.networking
    return JoinNetworks(tuple(_without_names(attachment) for attachment in spec.networking.attachments))


def _without_names(attachment: Attachment) -> Attachment:
    return replace(attachment, aliases=(), ipv4_address="", mac_address="")
