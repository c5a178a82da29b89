"""Stack: what the user wrote, in long form only, before any engine was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from stackctl.diagnostics import SourceRange
from stackctl.model.build import BuildSpec
from stackctl.model.container import (
    BindMount,
    Device,
    Dns,
    HostNetwork,
    JoinNetworks,
    LogPolicy,
    NoNetwork,
    PublishedPort,
    RestartPolicy,
    ShareNetwork,
    TmpfsMount,
    Ulimit,
    VolumeMount,
)
from stackctl.model.deploy import Deploy
from stackctl.model.health import HealthCheckOverride
from stackctl.model.hook import Hook
from stackctl.model.limits import Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.path import Path as Path
from stackctl.model.volume import VolumeSpec

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
PullPolicy = Literal["", "always", "missing", "never", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """An entry of ``depends_on``. ``restart``: restart me when the dependency is replaced or restarted."""

    service: str
    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True)
class ShareServiceNetwork:
    """``network_mode: service:NAME``."""

    service: str


ServiceNetworking: TypeAlias = JoinNetworks | HostNetwork | NoNetwork | ShareNetwork | ShareServiceNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentUse:
    """A service's use of a top-level config or secret, by its key."""

    kind: Literal["config", "secret"]
    name: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSource:
    """A top-level config or secret. ``name`` is the one it has in an engine that keeps such things itself, where it
    is external; else only a beginning of it."""

    kind: Literal["config", "secret"]
    name: str
    is_external: bool = False
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VolumesFrom:
    """An entry of ``volumes_from``: the mounts of the service's first replica, perhaps only to read."""

    service: str
    read_only: bool = False


ServiceMount: TypeAlias = BindMount | VolumeMount | TmpfsMount | ContentUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, long form. None means: as the image says.

    ``environment`` values are None for a bare ``KEY`` that resolved to nothing, which removes it.
    Volume and network names inside are real names, as ``Stack.volumes`` and ``Stack.networks`` hold
    them. ``ports`` carry no ``share`` yet. ``pid_mode`` and ``ipc_mode`` may be ``service:NAME``.
    ``seccomp_profile`` is the path of a profile, until ``with_profiles`` puts its text there.
    """

    name: str
    image: str
    build: BuildSpec | None = None
    replicas: int = 1
    container_name: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str | None], ...] = ()
    working_dir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    depends_on: tuple[Dependency, ...] = ()
    mounts: tuple[ServiceMount, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[str, ...] = ()
    networking: ServiceNetworking = field(default_factory=NoNetwork)
    dns: Dns = field(default_factory=Dns)
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = 64 * 1024 * 1024
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop_signal: str = ""
    stop_grace_s: float = 10.0
    healthcheck: HealthCheckOverride | None = None
    labels: tuple[tuple[str, str], ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: Literal["default", "unconfined"] = "default"
    seccomp_profile: str = ""
    read_only: bool = False
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: Literal["", "host"] = ""
    cgroup_mode: Literal["", "host"] = ""
    unmasked: bool = False
    oom_score_adj: int = 0
    pull_policy: PullPolicy = ""
    pull_max_age_s: float = 0.0
    platform: str = ""
    log: LogPolicy = field(default_factory=LogPolicy)
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    attach: bool = True
    deploy: Deploy = field(default_factory=Deploy)


def namespace_services(service: Service) -> tuple[str, ...]:
    """Return the other services in whose namespaces one runs: of network, processes or IPC."""
    found = [service.networking.service] if isinstance(service.networking, ShareServiceNetwork) else []
    modes = (service.pid_mode, service.ipc_mode)
    found += [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A whole stack.

    ``services``, ``networks`` and ``volumes`` are keyed by the names used in the file and hold only what
    is enabled and used. ``contents`` are keyed ``config/KEY`` and ``secret/KEY``. ``disabled_services`` are known
    but switched off by profiles.
    ``positions`` maps canonical paths to where they were written; it is no part of equality.
    """

    name: str
    working_dir: str = ""
    config_files: tuple[str, ...] = ()
    services: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    networks: Mapping[str, NetworkSpec] = field(default_factory=lambda: MappingProxyType({}))
    volumes: Mapping[str, VolumeSpec] = field(default_factory=lambda: MappingProxyType({}))
    contents: Mapping[str, ContentSource] = field(default_factory=lambda: MappingProxyType({}))
    disabled_services: tuple[str, ...] = ()
    positions: Mapping[Path, SourceRange] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, hash=False
    )

    def where(self, *path: str | int) -> SourceRange | None:
        """Return where ``path``, or the nearest thing around it, was written."""
        for end in range(len(path), 0, -1):
            found = self.positions.get(path[:end])
            if found is not None:
                return found
        return None


def with_profiles(stack: Stack, contents: Mapping[str, bytes]) -> Stack:
    """Return the stack with seccomp profiles in place of their paths. Raises KeyError for one that is not there."""
    services = {
        name: replace(
            service, seccomp_profile=contents[f"seccomp/{service.seccomp_profile}"].decode("utf-8", "replace")
        )
        for name, service in stack.services.items()
        if service.seccomp_profile
    }
    return replace(stack, services=MappingProxyType({**stack.services, **services})) if services else stack
