"""Networks of the built-in engine, as Docker's clients name and use them. Those of stacks are among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from stackctl.engines.local import LocalEngine
from stackctl.errors import Conflict, NotFound
from stackctl.model.container import Attachment
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import ObservedContainer, ObservedNetwork
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire import codec

BRIDGE: Final = "bridge"
PREDEFINED: Final = (BRIDGE, "host", "none")
_DRIVERS: Final = {"host": "host", "none": "null", BRIDGE: "bridge"}


class LocalNetworks:
    """Networks by name or id. Any thread may call any method. Raises EngineError."""

    def __init__(self, engine: LocalEngine, supervisor: SupervisorClient) -> None:
        self._engine = engine
        self._supervisor = supervisor

    def all(self) -> list[ObservedNetwork]:
        """Return every network, by name, the predefined ones among them."""
        found = {network.name: network for network in self._engine.networks()}
        for name in PREDEFINED:
            found.setdefault(name, _predefined(name))
        return [found[name] for name in sorted(found)]

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Return every container."""
        return self._engine.containers()

    def find(self, reference: str) -> ObservedNetwork:
        """Return the network with this id, name or unique beginning of an id. Raises NotFound, Conflict."""
        networks = self.all()
        for network in networks:
            if network.id == reference:
                return network
        for network in networks:
            if network.name == reference:
                return network
        matches = [network for network in networks if reference and network.id.startswith(reference)]
        if len(matches) > 1:
            raise Conflict(f"network {reference} is ambiguous ({len(matches)} matches found on ID prefix)")
        if not matches:
            raise NotFound(f"network {reference} not found", code="no-such-network")
        return matches[0]

    def create(self, spec: NetworkSpec) -> str:
        """Make a network and return its id. Raises Conflict when the name or the subnet is taken."""
        if any(network.name == spec.name for network in self.all()):
            raise Conflict(f"network with name {spec.name} already exists", code="network-differs")
        created: str = self._supervisor.call("create-network", spec=codec.encode(spec))["id"]
        return created

    def remove(self, network: ObservedNetwork) -> None:
        """Remove a network no running container is on. Raises Conflict."""
        self._supervisor.call("remove-network", name=network.name)

    def prune(self, candidates: Iterable[ObservedNetwork]) -> list[str]:
        """Remove those of the networks that no container is on, running or not; return their names."""
        removed = []
        for network in candidates:
            if network.name in PREDEFINED or network.containers:
                continue
            try:
                self.remove(network)
            except (Conflict, NotFound):
                continue  # somebody has been faster
            removed.append(network.name)
        return removed

    def connect(self, network: ObservedNetwork, container: str, place: Attachment) -> None:
        """Put a container on a network, at once if it runs. Raises NotFound, Conflict."""
        if network.name == BRIDGE:
            self._supervisor.call("create-network", spec=codec.encode(NetworkSpec(name=BRIDGE)))
        self._supervisor.call("connect-network", name=container, place=codec.encode(place))

    def disconnect(self, network: ObservedNetwork, container: str, *, force: bool) -> None:
        """Take a container off a network. Raises NotFound; Conflict when it is not on it, unless ``force``."""
        try:
            self._supervisor.call("disconnect-network", name=container, network=network.name)
        except (Conflict, NotFound):
            if not force:
                raise


def _predefined(name: str) -> ObservedNetwork:
    return ObservedNetwork(
        id=hashlib.sha256(f"predefined {name}".encode()).hexdigest(),
        name=name,
        spec=NetworkSpec(name=name, driver=_DRIVERS[name]),
    )
