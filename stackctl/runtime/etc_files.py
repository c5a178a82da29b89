"""The files of /etc by which a container knows itself and finds others: hosts, hostname, resolv.conf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    _write_all(folder, texts)


def copy(source: str, folder: str, *, hostname: str) -> None:
    """Write below ``folder`` what the container with its files in ``source`` has, for one that shares its network.

    Raises OSError.
    """
    texts = {"hostname": hostname + "\n"}
    for name in ("hosts", "resolv.conf"):
        with open(f"{source}/{name}", encoding="utf-8") as file:
            texts[name] = file.read()
    _write_all(folder, texts)


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


def _write_all(folder: str, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        # In place: the container has this very file bound over its own.
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
