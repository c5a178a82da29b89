"""Networks as records: one JSON file each, the truth about its specification and addresses."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

from stackctl.model.network import NetworkSpec
from stackctl.runtime.network.addresses import parse_subnet
from stackctl.runtime.network.bridges import BridgeInfo
from stackctl.runtime.network.ipam import Addressing, AddressPool
from stackctl.runtime.paths import drop_half_written, write_atomically
from stackctl.wire import codec


@dataclass(slots=True, eq=False)
class Network:
    """One network; ``bridge`` is None until something needs it in this boot."""

    id: str
    spec: NetworkSpec
    addressing: Addressing
    pool: AddressPool
    created_ns: int
    bridge: BridgeInfo | None = None


def describe(network: Network) -> dict[str, Any]:
    """Return what others may know of a network."""
    return {
        "id": network.id,
        "name": network.spec.name,
        "spec": codec.encode(network.spec),
        "subnet": str(network.addressing.subnet),
        "gateway": network.addressing.gateway,
        "created_ns": network.created_ns,
    }


class NetworkStore:
    """The records below a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read_all(self) -> list[Network]:
        """Return every network whose record can be read."""
        drop_half_written(self._folder)
        found = (self._read(name) for name in sorted(os.listdir(self._folder)))
        return [network for network in found if network is not None]

    def write(self, network: Network) -> None:
        """Record a network, whole or not at all."""
        shape = {**describe(network), "range": str(network.addressing.range)}
        write_atomically(self._file(network.spec.name), json.dumps(shape).encode())

    def forget(self, network: Network) -> None:
        """Remove the record; harmless when there is none."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(network.spec.name))

    def _file(self, name: str) -> str:
        return f"{self._folder}/{name}.json"

    def _read(self, file_name: str) -> Network | None:
        try:
            with open(f"{self._folder}/{file_name}", "rb") as file:
                shape = json.load(file)
            spec = codec.decode(NetworkSpec, shape["spec"])
            addressing = Addressing(parse_subnet(shape["subnet"]), parse_subnet(shape["range"]), shape["gateway"])
            return Network(shape["id"], spec, addressing, AddressPool(addressing), shape["created_ns"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
