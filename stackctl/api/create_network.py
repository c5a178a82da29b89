"""Docker's NetworkMode, endpoints and port bindings in our terms. Pure. Source: Docker Engine API 1.51."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from stackctl.api.connection import BadRequest
from stackctl.api.fields import Fields
from stackctl.model.container import (
    Attachment,
    HostNetwork,
    JoinNetworks,
    Networking,
    NoNetwork,
    PublishedPort,
    ShareNetwork,
)

BRIDGE: Final = "bridge"
INTERFACE_OPTION: Final = "com.docker.network.endpoint.ifname"
_PORT: Final = re.compile(r"(\d{1,5})(?:/(\w+))?")
_MOST_PORT: Final = 65535


def networking_of(body: Fields, host: Fields, network_name: Callable[[str], str]) -> Networking:
    """Return how the container is on the network; ``network_name`` finds a network's name. Raises BadRequest."""
    mode = host.text("NetworkMode")
    if body.flag("NetworkDisabled") or mode == "none":
        return NoNetwork()
    if mode == "host":
        return HostNetwork()
    if mode.startswith("container:"):
        return ShareNetwork(mode.removeprefix("container:"))
    first = BRIDGE if mode in ("", "default") else mode
    given = body.within("NetworkingConfig").mapping("EndpointsConfig")
    endpoints = {network_name(_real(key)): Fields(value, key) for key, value in given.items()}
    first = network_name(first)
    order = sorted({first, *endpoints}, key=lambda name: (name != first, name))
    attached = [attachment_of(name, endpoints.get(name, Fields(None))) for name in order]
    mac = body.text("MacAddress")
    if mac and not attached[0].mac_address:
        attached[0] = Attachment(
            network=first,
            aliases=attached[0].aliases,
            ipv4_address=attached[0].ipv4_address,
            ipv6_address=attached[0].ipv6_address,
            mac_address=mac,
            interface=attached[0].interface,
        )
    return JoinNetworks(tuple(attached))


def attachment_of(network: str, endpoint: Fields) -> Attachment:
    """Return a place on a network as an EndpointConfig asks for it."""
    addresses = endpoint.within("IPAMConfig")
    options = endpoint.pairs("DriverOpts")
    interface = options.pop(INTERFACE_OPTION, "")
    if endpoint.given(("Links",)) or options:
        raise BadRequest(f"not supported by this engine: Links or DriverOpts on network {network}")
    return Attachment(
        network=network,
        aliases=endpoint.texts("Aliases"),
        ipv4_address=addresses.text("IPv4Address"),
        ipv6_address=addresses.text("IPv6Address"),
        mac_address=endpoint.text("MacAddress"),
        interface=interface,
        link_local=addresses.texts("LinkLocalIPs"),
    )


def _real(network: str) -> str:
    return BRIDGE if network == "default" else network


def ports_of(host: Fields, exposed: tuple[str, ...]) -> tuple[PublishedPort, ...]:
    """Return what is published: the bindings, and with PublishAllPorts every exposed port. Raises BadRequest."""
    bindings = host.mapping("PortBindings")
    found = [_published(port, Fields(entry, port)) for port, entries in bindings.items() for entry in _list(entries)]
    if host.flag("PublishAllPorts"):
        found += [_published(port, Fields(None)) for port in exposed if port not in bindings]
    return tuple(found)


def _list(entries: Any) -> list[Any]:
    if entries is None or entries == []:
        return [{}]
    if not isinstance(entries, list):
        raise BadRequest("json: PortBindings holds arrays")
    return entries


def _published(port: str, binding: Fields) -> PublishedPort:
    match = _PORT.fullmatch(port)
    if match is None or not 0 < int(match[1]) <= _MOST_PORT:
        raise BadRequest(f"invalid port specification: {port!r}")
    protocol = (match[2] or "tcp").lower()
    if protocol not in ("tcp", "udp"):
        raise BadRequest(f"not supported by this engine: ports of protocol {protocol}")
    first, _, last = binding.text("HostPort").partition("-")
    if not all(text == "" or (text.isdecimal() and int(text) <= _MOST_PORT) for text in (first, last)):
        raise BadRequest(f"invalid port specification: {binding.text('HostPort')!r}")
    return PublishedPort(
        container_port=int(match[1]),
        protocol="udp" if protocol == "udp" else "tcp",
        host_ip="" if binding.text("HostIp") == "0.0.0.0" else binding.text("HostIp"),
        host_first=int(first or 0),
        host_last=int(last or first or 0),
    )
