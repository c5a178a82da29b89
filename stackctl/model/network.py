"""Networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """One network, by its real name.

    ``subnet`` and ``gateway`` are text; "" lets the engine choose. ``is_internal`` means no way out and
    none in from outside. An external network is never created or removed, only used.
    """

    name: str
    is_external: bool = False
    is_internal: bool = False
    driver: str = "bridge"
    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    enable_ipv6: bool = False
    labels: tuple[tuple[str, str], ...] = ()
