"""Health checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["none", "starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A probe run inside the container.

    ``test`` is ``("CMD", argv…)``, ``("CMD-SHELL", text)`` or ``("NONE",)``. Times are seconds. While
    ``start_period_s`` runs, failures do not count and ``start_interval_s`` replaces ``interval_s``.
    """

    test: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0
    start_interval_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How one probe ended; ``exit_code`` is -1 for one that could not start or took too long."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckOverride:
    """A service's ``healthcheck``; None means: as the image says, else the default."""

    test: tuple[str, ...] | None = None
    interval_s: float | None = None
    timeout_s: float | None = None
    retries: int | None = None
    start_period_s: float | None = None
    start_interval_s: float | None = None
