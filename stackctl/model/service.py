"""ServiceSpec: everything a cluster needs to run one service, for engines whose grain is the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from stackctl.diagnostics import SourceRange
from stackctl.model.container import Attachment, BindMount, Dns, TmpfsMount, Ulimit, VolumeMount
from stackctl.model.deploy import (
    EndpointMode,
    LogDriver,
    Placement,
    Reservations,
    RestartRule,
    ServiceMode,
    ServicePort,
    UpdatePolicy,
)
from stackctl.model.health import HealthCheckOverride
from stackctl.model.limits import Limits
from stackctl.model.volume import VolumeSpec

ContentKind = Literal["config", "secret"]
TaskMount: TypeAlias = BindMount | VolumeMount | TmpfsMount


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSpec:
    """A config or secret of an engine that keeps them itself, by its real name.

    ``fingerprint`` names the content, which is never part of a spec. An external one is only used.
    """

    kind: ContentKind
    name: str
    fingerprint: str = ""
    is_external: bool = False
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContent:
    """A config or secret as a file in a service's tasks; ``name`` is its real name."""

    kind: ContentKind
    name: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One service, completely decided. None and () mean: as the image says.

    ``image_ref`` is what the user wrote, ``image`` what tasks run: the same, pinned by digest where a registry
    could be asked. Lists whose order means nothing are sorted. ``volumes`` says how those of ``mounts`` that are
    the stack's own are made where a task finds none. ``replicas`` is 0 for a global service, and how often it must
    succeed for a job. ``generation`` counts the times that all tasks were asked to be replaced though nothing changed.
    ``origin`` maps field names to the YAML that decided them; it is no part of equality.
    """

    name: str
    image_ref: str
    image: str
    mode: ServiceMode = "replicated"
    replicas: int = 1
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    container_labels: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    mounts: tuple[TaskMount, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    contents: tuple[TaskContent, ...] = ()
    networks: tuple[Attachment, ...] = ()
    endpoint_mode: EndpointMode = "vip"
    ports: tuple[ServicePort, ...] = ()
    dns: Dns = field(default_factory=Dns)
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    reservations: Reservations = field(default_factory=Reservations)
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    restart: RestartRule = field(default_factory=RestartRule)
    placement: Placement = field(default_factory=Placement)
    update: UpdatePolicy = field(default_factory=UpdatePolicy)
    rollback: UpdatePolicy = field(default_factory=UpdatePolicy)
    stop_signal: str = ""
    stop_grace_s: float = 10.0
    health: HealthCheckOverride | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    log: LogDriver | None = None
    generation: int = 0
    origin: Mapping[str, SourceRange] = field(default_factory=lambda: MappingProxyType({}), compare=False, hash=False)

    @property
    def is_job(self) -> bool:
        """Whether its tasks are meant to end."""
        return self.mode in ("replicated-job", "global-job")
