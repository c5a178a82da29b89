"""Requests to a Swarm manager, by what they are for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackctl.engines.docker.api import Api
from stackctl.engines.swarm.errors import not_a_manager
from stackctl.engines.swarm.labels import NAMESPACE
from stackctl.errors import NotFound
from stackctl.model.service import ContentKind

Shape = dict[str, Any]
_DEFAULTS: Final = {"insertDefaults": "true", "status": "true"}


class SwarmApi:
    """What is asked of a manager. Any thread may call any method. All raise EngineError and its kinds."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def check_manager(self) -> Shape:
        """Return what the engine says of itself. Raises EngineError when it does not lead a Swarm."""
        info: Shape = self._api.ask("GET", "/info")
        swarm = info.get("Swarm") or {}
        if swarm.get("ControlAvailable") is True:
            return info
        states = {"active": "it is a worker of one", "locked": "its Swarm is locked", "error": str(swarm.get("Error"))}
        raise not_a_manager(states.get(str(swarm.get("LocalNodeState")), "it is in none"))

    def services(self) -> list[Shape]:
        """Return all services, with how many tasks they have."""
        return list(self._api.ask("GET", "/services", query=_DEFAULTS) or ())

    def service(self, name: str) -> Shape | None:
        """Return a service by its name or id, None when there is none."""
        # The list alone tells how many tasks there are; its filters match beginnings.
        for kind in ("name", "id"):
            query = {**_DEFAULTS, "filters": json.dumps({kind: [name]})}
            for shape in self._api.ask("GET", "/services", query=query) or ():
                if name in (shape["Spec"]["Name"], shape["ID"]):
                    return dict(shape)
        return None

    def create_service(self, body: Shape, headers: Mapping[str, str]) -> Shape:
        """Create a service; return its id and warnings."""
        return dict(self._api.ask("POST", "/services/create", body=body, headers=headers) or {})

    def update_service(self, service_id: str, version: int, body: Shape, headers: Mapping[str, str]) -> Shape:
        """Update a service that nobody wrote since ``version`` was read; return warnings."""
        query = {"version": version}
        target = f"/services/{service_id}/update"
        return dict(self._api.ask("POST", target, query=query, body=body, headers=headers) or {})

    def remove_service(self, service_id: str) -> None:
        """Remove a service; one that is gone is no error."""
        self._remove(f"/services/{service_id}")

    def tasks(self, *, service: str = "", stack: str = "") -> list[Shape]:
        """Return tasks, of a service that exists or of a stack; of all without either."""
        filters: dict[str, list[str]] = {}
        if service:
            filters["service"] = [service]
        if stack:
            filters["label"] = [f"{NAMESPACE}={stack}"]
        try:
            return list(self._api.ask("GET", "/tasks", query={"filters": json.dumps(filters)}) or ())
        except NotFound:
            return []

    def nodes(self) -> list[Shape]:
        """Return the machines of the Swarm."""
        return list(self._api.ask("GET", "/nodes") or ())

    def networks(self) -> list[Shape]:
        """Return the networks that the manager knows."""
        return list(self._api.ask("GET", "/networks") or ())

    def create_network(self, body: Shape) -> None:
        """Create a network."""
        self._api.ask("POST", "/networks/create", body=body)

    def remove_network(self, network_id: str) -> None:
        """Remove a network; one that is gone is no error."""
        self._remove(f"/networks/{network_id}")

    def contents(self, kind: ContentKind) -> list[Shape]:
        """Return all configs, or all secrets."""
        return list(self._api.ask("GET", f"/{kind}s") or ())

    def create_content(self, kind: ContentKind, body: Shape) -> None:
        """Create a config or secret."""
        self._api.ask("POST", f"/{kind}s/create", body=body)

    def remove_content(self, kind: ContentKind, content_id: str) -> None:
        """Remove a config or secret; one that is gone is no error."""
        self._remove(f"/{kind}s/{content_id}")

    def volumes(self, stack: str) -> list[Shape]:
        """Return the stack's volumes on the manager itself: no other machine is asked."""
        query = {"filters": json.dumps({"label": [f"{NAMESPACE}={stack}"]})}
        return list((self._api.ask("GET", "/volumes", query=query) or {}).get("Volumes") or ())

    def remove_volume(self, name: str) -> None:
        """Remove a volume of the manager's own; one that is gone is no error."""
        self._remove(f"/volumes/{name}")

    def local_digests(self, reference: str) -> Iterable[str]:
        """Return the names with digests that the manager has an image under; none when it has no such image."""
        try:
            return list(self._api.ask("GET", f"/images/{reference}/json").get("RepoDigests") or ())
        except NotFound:
            return ()

    def has_image(self, reference: str) -> bool:
        """Whether the manager itself has an image of this name."""
        try:
            self._api.ask("GET", f"/images/{reference}/json")
        except NotFound:
            return False
        return True

    def registry_digest(self, reference: str, headers: Mapping[str, str]) -> str:
        """Return the digest that a registry has under a reference, asked by the manager."""
        found = self._api.ask("GET", f"/distribution/{reference}/json", headers=headers)
        return str((found.get("Descriptor") or {}).get("digest") or "")

    def _remove(self, target: str) -> None:
        try:
            self._api.ask("DELETE", target)
        except NotFound:
            return
