"""Networks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """One network, by its real name.

    ``subnet`` and ``gateway`` are text; "" lets the engine choose. ``is_internal`` means no way out and
    none in from outside. ``driver`` "bridge" is the engine's own kind of network. ``is_attachable``
    only means something to other engines; ``options`` are Docker's, see ``bridge_options``. ``reserved`` addresses
    are given to nobody. An external network is never created or removed, only used.
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
    reserved: tuple[str, ...] = ()
    enable_ipv6: bool = False
    labels: tuple[tuple[str, str], ...] = ()


_BRIDGE: Final = "com.docker.network.bridge."
NAME_OPTION: Final = f"{_BRIDGE}name"
MTU_OPTION: Final = "com.docker.network.driver.mtu"
ICC_OPTION: Final = f"{_BRIDGE}enable_icc"
MASQUERADE_OPTION: Final = f"{_BRIDGE}enable_ip_masquerade"
HOST_IP_OPTION: Final = f"{_BRIDGE}host_binding_ipv4"
PREFIX_OPTION: Final = "com.docker.network.container_iface_prefix"
BRIDGE_OPTIONS: Final = (NAME_OPTION, MTU_OPTION, ICC_OPTION, MASQUERADE_OPTION, HOST_IP_OPTION, PREFIX_OPTION)
"""The options of a network that the engine's own bridge knows, by Docker's names."""
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_TRUE: Final = ("1", "t", "true")
_LEAST_MTU: Final = 68
_MOST_MTU: Final = 65535


class BridgeOptions(NamedTuple):
    """What a network's options come to. ``name`` "" and ``mtu`` 0 leave the choice to the engine and the kernel."""

    name: str = ""
    mtu: int = 0
    has_icc: bool = True
    is_masqueraded: bool = True
    host_ip: str = ""
    interface_prefix: str = "eth"


def bridge_options(options: tuple[tuple[str, str], ...]) -> BridgeOptions:
    """Read the options of a bridge. Raises ValueError for a value that makes no sense."""
    given = dict(options)
    name, mtu = given.get(NAME_OPTION, ""), given.get(MTU_OPTION, "") or "0"
    prefix = given.get(PREFIX_OPTION, "") or "eth"
    for key, text in ((NAME_OPTION, name or "x"), (PREFIX_OPTION, f"{prefix}99")):
        if not _INTERFACE.fullmatch(text) or text in (".", ".."):
            raise ValueError(f"{key} is {given[key]!r}, which no interface can be called")
    if not mtu.isdecimal() or not (int(mtu) == 0 or _LEAST_MTU <= int(mtu) <= _MOST_MTU):
        raise ValueError(f"{MTU_OPTION} is {mtu!r}, which is no size of packets")
    return BridgeOptions(
        name=name,
        mtu=int(mtu),
        has_icc=given.get(ICC_OPTION, "true").lower() in _TRUE,
        is_masqueraded=given.get(MASQUERADE_OPTION, "true").lower() in _TRUE,
        host_ip=given.get(HOST_IP_OPTION, ""),
        interface_prefix=prefix,
    )
