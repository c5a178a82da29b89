"""``/networks``. Source: Docker Engine API 1.51, Network."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.create_network import INTERFACE_OPTION
from stackctl.api.fields import Fields
from stackctl.api.network_json import inspect_json, list_json
from stackctl.api.query import filters_of
from stackctl.api.routing import Answer, Route
from stackctl.api.selecting import Filters, check_known, has_labels, has_name, is_older, truth
from stackctl.errors import Conflict
from stackctl.model.container import Attachment
from stackctl.model.network import BRIDGE_OPTIONS, NetworkSpec, bridge_options
from stackctl.model.observed import ObservedContainer, ObservedNetwork

Arguments = dict[str, str]
_PREDEFINED: Final = ("bridge", "host", "none")
_FILTERS: Final = ("dangling", "driver", "id", "label", "name", "scope", "type")
_PRUNE_FILTERS: Final = ("label", "label!", "until")
_DRIVERS: Final = ("", "default", "bridge")


class Networks(Protocol):
    """What these routes need of networks."""

    def all(self) -> list[ObservedNetwork]: ...
    def containers(self) -> Sequence[ObservedContainer]: ...
    def find(self, reference: str) -> ObservedNetwork: ...
    def create(self, spec: NetworkSpec) -> str: ...
    def remove(self, network: ObservedNetwork) -> None: ...
    def prune(self, candidates: Iterable[ObservedNetwork]) -> list[str]: ...
    def connect(self, network: ObservedNetwork, container: str, place: Attachment) -> None: ...
    def disconnect(self, network: ObservedNetwork, container: str, *, force: bool) -> None: ...


class NetworkRoutes:
    """``/networks``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/networks", self._list),
            Route("GET", "/networks/", self._list),
            Route("POST", "/networks/create", self._create),
            Route("POST", "/networks/prune", self._prune),
            Route("POST", "/networks/{id}/connect", self._connect),
            Route("POST", "/networks/{id}/disconnect", self._disconnect),
            Route("GET", "/networks/{id}", self._inspect),
            Route("DELETE", "/networks/{id}", self._remove),
        ]

    def _list(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        check_known(filters, _FILTERS)
        return Answer(200, [list_json(network) for network in self._networks.all() if _passes(network, filters)])

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, inspect_json(self._networks.find(arguments["id"]), self._networks.containers()))

    def _create(self, request: Request, _: Connection, __: Arguments) -> Answer:
        spec = wanted_network(Fields(request.json()))
        if spec.name in (*_PREDEFINED, "default"):
            return _forbidden(f"operation is not permitted on predefined {spec.name} network")
        try:
            return Answer(201, {"Id": self._networks.create(spec), "Warning": ""})
        except Conflict as error:
            if error.code == "subnet-overlap":
                return _forbidden(f"invalid pool request: Pool overlaps with other one on this address space: {error}")
            if error.code == "network-differs":
                raise
            raise BadRequest(f"invalid network config: {error}") from error

    def _remove(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        network = self._networks.find(arguments["id"])
        if network.name in _PREDEFINED:
            return _forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        try:
            self._networks.remove(network)
        except Conflict as error:
            return _forbidden(f"error while removing network: network {network.name} has active endpoints: {error}")
        return Answer(204)

    def _prune(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        check_known(filters, _PRUNE_FILTERS)
        now_ns = time.time_ns()
        chosen = [n for n in self._networks.all() if has_labels(n.labels, filters)]
        chosen = [n for n in chosen if is_older(n.created_ns, filters, now_ns)]
        return Answer(200, {"NetworksDeleted": self._networks.prune(chosen) or None})

    def _connect(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        body = Fields(request.json())
        network = self._networks.find(arguments["id"])
        if network.name in ("host", "none"):
            return _forbidden(f"container cannot be connected to {network.name} network: it is private")
        place = _place(network.name, body.within("EndpointConfig"))
        try:
            self._networks.connect(network, body.text("Container"), place)
        except Conflict as error:
            return _forbidden(error.message)
        return Answer(200)

    def _disconnect(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        body = Fields(request.json())
        network = self._networks.find(arguments["id"])
        try:
            self._networks.disconnect(network, body.text("Container"), force=body.flag("Force"))
        except Conflict as error:
            return Answer(500, {"message": error.message})
        return Answer(200)


def wanted_network(body: Fields) -> NetworkSpec:
    """Return the network a request describes. Raises BadRequest, also for what there is not here."""
    name = body.text("Name")
    if not name.strip():
        raise BadRequest("network name cannot be empty")
    if body.text("Driver") not in _DRIVERS:
        raise BadRequest(f"the network driver {body.text('Driver')!r} is not available: only bridge is built in")
    ipam = body.within("IPAM")
    if ipam.text("Driver") not in ("", "default"):
        raise BadRequest(f"the IPAM driver {ipam.text('Driver')!r} is not available: only default is built in")
    pools = ipam.objects("Config")
    unsupported = [name for name in ("Ingress", "ConfigOnly", "ConfigFrom") if body.given((name,))]
    options = tuple(sorted(body.pairs("Options").items()))
    unsupported += [f"the option {key}" for key, _ in options if key not in BRIDGE_OPTIONS]
    if len(pools) > 1 or ipam.given(("Options",)):
        unsupported.append("IPAM with options or several pools")
    if body.flag("EnableIPv6") or any(":" in pool.text("Subnet") for pool in pools):
        unsupported.append("IPv6")
    if unsupported and not _is_empty_reference(body, unsupported):
        raise BadRequest(f"not supported by this engine for networks: {', '.join(unsupported)}")
    pool = pools[0] if pools else Fields(None)
    try:
        bridge_options(options)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    return NetworkSpec(
        name=name,
        is_internal=body.flag("Internal"),
        subnet=pool.text("Subnet"),
        ip_range=pool.text("IPRange"),
        gateway=pool.text("Gateway"),
        reserved=tuple(address for _, address in sorted(pool.pairs("AuxiliaryAddresses").items())),
        options=options,
        labels=tuple(sorted(body.pairs("Labels").items())),
    )


def _is_empty_reference(body: Fields, unsupported: Sequence[str]) -> bool:
    return list(unsupported) == ["ConfigFrom"] and not body.within("ConfigFrom").text("Network")


def _place(network: str, endpoint: Fields) -> Attachment:
    options = endpoint.pairs("DriverOpts")
    interface = options.pop(INTERFACE_OPTION, "")
    if endpoint.given(("Links",)) or options:
        raise BadRequest("not supported by this engine: Links and DriverOpts of an endpoint")
    addresses = endpoint.within("IPAMConfig")
    if addresses.given(("IPv6Address",)):
        raise BadRequest("not supported by this engine: IPv6 addresses")
    return Attachment(
        network=network,
        aliases=endpoint.texts("Aliases"),
        ipv4_address=addresses.text("IPv4Address"),
        mac_address=endpoint.text("MacAddress"),
        interface=interface,
        link_local=addresses.texts("LinkLocalIPs"),
    )


def _passes(network: ObservedNetwork, filters: Filters) -> bool:
    driver = network.spec.driver if network.spec else "bridge"
    is_predefined = network.name in _PREDEFINED
    dangling = truth(filters, "dangling")
    types = filters.get("type", ())
    if any(kind not in ("custom", "builtin") for kind in types):
        raise BadRequest(f"invalid filter 'type={types[0]}'")
    return (
        has_name(network.name, filters)
        and has_labels(network.labels, filters)
        and (not filters.get("id") or any(network.id.startswith(one) for one in filters["id"]))
        and (not filters.get("driver") or driver in filters["driver"])
        and (not filters.get("scope") or "local" in filters["scope"])
        and (not types or ("builtin" if is_predefined else "custom") in types)
        and (dangling is None or dangling == (not network.containers and not is_predefined))
    )


def _forbidden(message: str) -> Answer:
    return Answer(403, {"message": message})
