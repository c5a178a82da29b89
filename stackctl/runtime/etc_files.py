"""The files of /etc by which a container knows itself and finds others: hosts, hostname, resolv.conf."""

from __future__ import annotations

from collections.abc import Sequence

from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.runtime.network import resolv


def write(folder: str, spec: ContainerSpec, *, hostname: str, addresses: Sequence[str], gateway: str) -> None:
    """Write the files below ``folder``; ``gateway`` is what ``host-gateway`` stands for. Raises OSError."""
    texts = {
        "hosts": resolv.hosts_file(
            hostname, addresses, extra_hosts=spec.extra_hosts, gateway=gateway, domainname=spec.domainname
        ),
        "hostname": hostname + "\n",
        "resolv.conf": _resolv_conf(spec),
    }
    for name, text in texts.items():
        # In place: the container has this very file bound over its own.
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def host_resolver() -> resolv.ResolverSettings:
    """Return what the host's resolv.conf says now."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            return resolv.parse_resolv_conf(file.read())
    except OSError:
        return resolv.ResolverSettings()


def _resolv_conf(spec: ContainerSpec) -> str:
    if isinstance(spec.networking, JoinNetworks):
        return resolv.resolv_conf(spec.dns, host_resolver())
    return resolv.host_resolv_conf(spec.dns, host_resolver())
