"""Deploy: how a service is spread over machines and brought up to date, as its ``deploy:`` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ServiceMode = Literal["replicated", "global", "replicated-job", "global-job"]
EndpointMode = Literal["vip", "dnsrr"]
FailureAction = Literal["pause", "continue", "rollback"]
UpdateOrder = Literal["stop-first", "start-first"]
RestartCondition = Literal["none", "on-failure", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePolicy:
    """How tasks are replaced when a service changes; ``parallelism`` 0 replaces all at once.

    A task that dies within ``monitor_s`` of its start counts as failed.
    """

    parallelism: int = 1
    delay_s: float = 0.0
    failure_action: FailureAction = "pause"
    monitor_s: float = 5.0
    max_failure_ratio: float = 0.0
    order: UpdateOrder = "stop-first"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRule:
    """Whether a task that ended gets a successor; ``max_attempts`` 0 and ``window_s`` 0 mean no bound."""

    condition: RestartCondition = "any"
    delay_s: float = 5.0
    max_attempts: int = 0
    window_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which machines may run tasks (``node.role==manager``), and over which label they are spread."""

    constraints: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()
    max_per_node: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """What a machine must have free for a task; ``generic`` holds (kind, amount)."""

    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """A port as a cluster publishes it: on every machine (``ingress``), or where a task runs (``host``).

    ``published`` 0 means any.
    """

    target: int
    published: int = 0
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"
    mode: Literal["ingress", "host"] = "ingress"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDriver:
    """Who takes what tasks write, and its settings."""

    name: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What only an engine of several machines honours in full; None means: as the engine does by itself.

    ``labels`` are the service's own, not those of its containers. ``restart`` is decided by
    ``deploy.restart_policy``, else by ``restart``.
    """

    mode: ServiceMode = "replicated"
    endpoint_mode: EndpointMode = "vip"
    labels: tuple[tuple[str, str], ...] = ()
    update: UpdatePolicy | None = None
    rollback: UpdatePolicy | None = None
    restart: RestartRule | None = None
    placement: Placement = field(default_factory=Placement)
    reservations: Reservations = field(default_factory=Reservations)
    ports: tuple[ServicePort, ...] = ()
    log: LogDriver | None = None
