"""Calls about networks and volumes, in Docker's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackctl.client.calls import Calls
from stackctl.client.http import quote


class NetworkVolumeCalls(Calls):
    """What an engine can be asked about networks and volumes, whatever stack they are of."""

    def networks(self) -> list[dict[str, Any]]:
        """Return all networks."""
        found: list[dict[str, Any]] = self._get("/networks").json()
        return found

    def network_inspect(self, name: str) -> dict[str, Any]:
        """Return a network, found by name or id. Raises NotFound."""
        return self._object(f"/networks/{quote(name)}")

    def network_create(self, wanted: Mapping[str, Any]) -> str:
        """Make a network, described as the API wants it, and return its id. Raises Conflict."""
        return str(self._post("/networks/create", dict(wanted)).json()["Id"])

    def network_remove(self, name: str) -> None:
        """Remove a network. Raises NotFound, or EngineError while a container is on it."""
        self._delete(f"/networks/{quote(name)}").finish()

    def network_connect(self, name: str, container: str, endpoint: Mapping[str, Any]) -> None:
        """Put a container on a network. Raises NotFound, or EngineError."""
        body = {"Container": container, "EndpointConfig": dict(endpoint)}
        self._post(f"/networks/{quote(name)}/connect", body).finish()

    def network_disconnect(self, name: str, container: str, *, force: bool) -> None:
        """Take a container off a network. Raises NotFound, or EngineError."""
        self._post(f"/networks/{quote(name)}/disconnect", {"Container": container, "Force": force}).finish()

    def volumes(self) -> list[dict[str, Any]]:
        """Return all volumes."""
        found: list[dict[str, Any]] = self._get("/volumes").json()["Volumes"]
        return found

    def volume_inspect(self, name: str) -> dict[str, Any]:
        """Return a volume. Raises NotFound."""
        return self._object(f"/volumes/{quote(name)}")

    def volume_create(
        self, name: str, labels: Mapping[str, str], *, driver: str = "local", options: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Make a volume, unless there is one, and return it; without a name it gets a random one."""
        wanted = {"Name": name, "Labels": dict(labels), "Driver": driver, "DriverOpts": dict(options or {})}
        made: dict[str, Any] = self._post("/volumes/create", wanted).json()
        return made

    def volume_remove(self, name: str) -> None:
        """Remove a volume with all it holds. Raises NotFound, Conflict while a container has it."""
        self._delete(f"/volumes/{quote(name)}").finish()
