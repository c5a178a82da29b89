"""Networks, and how services are attached to them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from stackctl.model.container import Attachment, HostNetwork, JoinNetworks, NoNetwork, PublishedPort, ShareNetwork
from stackctl.model.network import NetworkSpec, bridge_options
from stackctl.model.stack import Path, Service, ServiceNetworking, ShareServiceNetwork
from stackctl.stackfile.canonical_ports import parse_range
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems, dotted
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict, as_int, as_list, as_text, pairs, said, texts


def network_spec(entry: dict[str, Json], path: Path, places: Places, problems: Problems) -> NetworkSpec:
    """Return a network; addresses that cannot be are reported."""
    pools = as_list(as_dict(entry.get("ipam")).get("config"))
    pool = as_dict(pools[0]) if pools else {}
    subnet = as_text(pool.get("subnet"))
    _check_pool(pool, (*path, "ipam", "config", 0), places, problems)
    _check_options(entry, path, places, problems)
    return NetworkSpec(
        name=as_text(entry.get("name")),
        is_external=entry.get("external") is True,
        is_internal=entry.get("internal") is True,
        is_attachable=entry.get("attachable") is True,
        driver=_driver(as_text(entry.get("driver"))),
        options=pairs(entry.get("driver_opts")),
        subnet=subnet,
        ip_range=as_text(pool.get("ip_range")),
        gateway=as_text(pool.get("gateway")),
        reserved=tuple(address for _, address in pairs(pool.get("aux_addresses"))),
        labels=pairs(entry.get("labels")),
    )


def _check_options(entry: dict[str, Json], path: Path, places: Places, problems: Problems) -> None:
    if _driver(as_text(entry.get("driver"))) != "bridge":
        return
    try:
        bridge_options(pairs(entry.get("driver_opts")))
    except ValueError as error:
        where = places.of_key((*path, "driver_opts"))
        problems.error("bad-value", "Value not allowed", where, detail=f"`{dotted(path)}.driver_opts`: {error}.")


def _driver(text: str) -> str:
    return "bridge" if text in ("", "default") else text


def _check_pool(pool: dict[str, Json], path: Path, places: Places, problems: Problems) -> None:
    subnet = as_text(pool.get("subnet"))
    network = None
    if subnet:
        try:
            network = ipaddress.ip_network(subnet, strict=False)
        except ValueError:
            _complain((*path, "subnet"), "must be addresses in CIDR form, such as `172.28.0.0/16`", places, problems)
            return
    for key in ("ip_range", "gateway"):
        text = as_text(pool.get(key))
        if not text:
            continue
        try:
            inside = ipaddress.ip_network(text, strict=False)
        except ValueError:
            what = "an address" if key == "gateway" else "addresses in CIDR form"
            _complain((*path, key), f"must be {what}", places, problems)
            continue
        if network is None or not _is_inside(inside, network):
            _complain((*path, key), "must lie inside the subnet", places, problems)


def _is_inside(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network, outer: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    return False


def _complain(path: Path, why: str, places: Places, problems: Problems) -> None:
    problems.error("bad-value", "Value not allowed", places.of_value(path), detail=f"`{dotted(path)}` {why}.")


def networking(
    entry: dict[str, Json],
    path: Path,
    real_names: dict[str, str],
    *,
    bridge: str,
    problems: Problems,
    places: Places,
) -> ServiceNetworking:
    """Return how a service is on the network; ``bridge`` is the network of ``network_mode: bridge``."""
    mode = as_text(entry.get("network_mode"))
    if mode == "host":
        return HostNetwork()
    if mode == "none":
        return NoNetwork()
    if mode == "bridge":
        return JoinNetworks((Attachment(network=bridge),))
    if mode.startswith("service:"):
        return ShareServiceNetwork(mode.removeprefix("service:"))
    if mode.startswith("container:"):
        return ShareNetwork(mode.removeprefix("container:"))
    used = {key: as_dict(value) for key, value in as_dict(entry.get("networks")).items()}
    order = sorted(used, key=lambda key: (-_rank(used[key], "gw_priority"), -_rank(used[key], "priority"), key))
    found = [
        _attachment(used[key], real_names.get(key, key), (*path, "networks", key), problems, places) for key in order
    ]
    mac_address = as_text(entry.get("mac_address"))
    if mac_address and found and not found[0].mac_address:
        found[0] = replace(found[0], mac_address=mac_address)
    return JoinNetworks(tuple(found)) if found else NoNetwork()


def _rank(entry: dict[str, Json], key: str) -> float:
    value = entry.get(key)
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else 0.0


def _attachment(entry: dict[str, Json], network: str, path: Path, problems: Problems, places: Places) -> Attachment:
    address = as_text(entry.get("ipv4_address"))
    if ":" in address:
        _complain((*path, "ipv4_address"), f"must be an IPv4 address, not `{address}`", places, problems)
    return Attachment(
        network=network,
        aliases=said(entry.get("aliases")),
        ipv4_address=address,
        mac_address=as_text(entry.get("mac_address")),
        priority=as_int(entry.get("priority")),
        link_local=_link_local(said(entry.get("link_local_ips")), (*path, "link_local_ips"), places, problems),
        interface=_interface(as_text(entry.get("interface_name")), (*path, "interface_name"), places, problems),
    )


def _link_local(written: tuple[str, ...], path: Path, places: Places, problems: Problems) -> tuple[str, ...]:
    for at, text in enumerate(written):
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            _complain((*path, at), f"must be an IPv4 address, not `{text}`", places, problems)
            return ()
    return written


def _interface(name: str, path: Path, places: Places, problems: Problems) -> str:
    if name and not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", name):
        _complain(path, f"must be the name of an interface, of at most 15 characters, not `{name}`", places, problems)
        return ""
    return name


def published_ports(entry: dict[str, Json]) -> tuple[PublishedPort, ...]:
    """Return the ports a service publishes."""
    found = []
    for item in as_list(entry.get("ports")):
        port = as_dict(item)
        host = parse_range(as_text(port.get("published")))
        first, last = host if host is not None else (0, 0)
        found.append(
            PublishedPort(
                container_port=as_int(port.get("target")),
                protocol="udp" if as_text(port.get("protocol")).lower() == "udp" else "tcp",
                host_ip=as_text(port.get("host_ip")),
                host_first=first,
                host_last=last,
            )
        )
    return tuple(found)


def exposed_ports(entry: dict[str, Json]) -> tuple[str, ...]:
    """Return ``80/tcp`` for each port of ``expose``, ranges written out."""
    found: dict[str, None] = {}
    for text in said(entry.get("expose")):
        ports, _, protocol = text.partition("/")
        wanted = parse_range(ports)
        if wanted is not None:
            numbers = range(wanted.first, wanted.last + 1)
            found |= dict.fromkeys(f"{number}/{protocol.lower() or 'tcp'}" for number in numbers)
    return tuple(found)


def link_aliases(services: dict[str, Service], trees: dict[str, dict[str, Json]]) -> dict[str, Service]:
    """Give each linked service its link's alias, on the networks it shares with the one that links."""
    found = dict(services)
    for name, entry in trees.items():
        ours = _networks_of(services[name])
        for link in texts(entry.get("links")):
            target, _, alias = link.partition(":")
            other = found.get(target)
            if not alias or other is None or not isinstance(other.networking, JoinNetworks):
                continue
            attachments = tuple(
                replace(at, aliases=(*at.aliases, alias)) if at.network in ours and alias not in at.aliases else at
                for at in other.networking.attachments
            )
            found[target] = replace(other, networking=JoinNetworks(attachments))
    return found


def _networks_of(service: Service) -> set[str]:
    if not isinstance(service.networking, JoinNetworks):
        return set()
    return {attachment.network for attachment in service.networking.attachments}
