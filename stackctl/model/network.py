"""Networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """One network, by its real name.

    ``subnet`` and ``gateway`` are text; "" lets the engine choose. ``is_internal`` means no way out and
    none in from outside. ``driver`` "bridge" is the engine's own kind of network. ``is_attachable`` and ``options``
    only mean something to other engines. An external network is never created or removed, only used.
    """

    name: str
    is_external: bool = False
    is_internal: bool = False
    is_attachable: bool = False
    driver: str = "bridge"
    options: tuple[tuple[str, str], ...] = ()
    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    enable_ipv6: bool = False
    labels: tuple[tuple[str, str], ...] = ()
