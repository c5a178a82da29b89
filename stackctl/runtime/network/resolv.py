"""The files by which a container finds names: resolv.conf and hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from stackctl.model.container import Dns

DNS_ADDRESS: Final = "127.0.0.11"
HOST_GATEWAY: Final = "host-gateway"


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """What a resolv.conf says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolverSettings:
    """Read a resolv.conf as the C library does: the last search or domain counts, comments begin with # or
    ;.
    """
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line[0] in "#;":
            continue
        match words[0]:
            case "nameserver":
                servers.append(words[1])
            case "search":
                search = tuple(words[1:])
            case "domain":
                search = (words[1],)
            case "options":
                options.extend(words[1:])
    return ResolverSettings(tuple(servers), search, tuple(options))


def resolv_conf(dns: Dns, host: ResolverSettings) -> str:
    """Return the text for a container with networks: our server, and the container's or else the host's rest.

    ``search .`` empties the list. ndots is 0 unless said otherwise, so that names of services are asked for
    as they are.
    """
    search = dns.search or host.search
    if "." in search:
        search = ()
    options = dns.options or host.options
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    return _text((DNS_ADDRESS,), search, options)


def host_resolv_conf(dns: Dns, host: ResolverSettings) -> str:
    """Return the text for a container in the host's network namespace: what the host has unless told
    otherwise.
    """
    return _text(dns.servers or host.servers, dns.search or host.search, dns.options or host.options)


def hosts_file(
    hostname: str,
    addresses: Sequence[str],
    *,
    extra_hosts: Iterable[tuple[str, str]] = (),
    gateway: str = "",
    domainname: str = "",
) -> str:
    """Return the text of /etc/hosts: loopback, the container's own name at its addresses, ``extra_hosts``.

    ``gateway``, of the container's first network, stands for the address ``host-gateway``; such entries
    are left out where there is none.
    """
    own = f"{hostname}.{domainname} {hostname}" if domainname else hostname
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        *(f"{address}\t{own}" for address in addresses if hostname),
    ]
    for name, address in extra_hosts:
        actual = gateway if address == HOST_GATEWAY else address
        if actual:
            lines.append(f"{actual}\t{name}")
    return "\n".join(lines) + "\n"


def _text(servers: Iterable[str], search: Sequence[str], options: Sequence[str]) -> str:
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n" if lines else ""
