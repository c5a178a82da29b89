"""The client of a Swarm: what other engines tell of containers it tells of the tasks of services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stackctl.cli.hosted import HostedClient
from stackctl.client.docker_api import DockerApi
from stackctl.client.http import quote


class SwarmClient(HostedClient):
    """Speaks to a manager. Tasks are called by their ids; their machines hold the containers."""

    keeps_services = True

    def containers(
        self, *, all: bool = False, labels: Sequence[str] = (), statuses: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See ``EngineClient.containers``: one entry for each replica. Raises EngineError when it is no manager."""
        from stackctl.engines.swarm.api import SwarmApi  # only for a Swarm
        from stackctl.engines.swarm.tasks import matching, task_entries

        api = SwarmApi(DockerApi(self._path, patience_s=self._patience_s))
        api.check_manager()
        found = matching(task_entries(api.services(), api.tasks(), api.nodes()), labels)
        if statuses:
            return [entry for entry in found if entry["State"] in statuses]
        return [entry for entry in found if all or entry["State"] == "running"]

    def logs(
        self,
        name: str,
        follow: bool = False,
        tail: str = "all",
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> Iterator[tuple[int, bytes]]:
        """See ``EngineClient.logs``; a manager knows no ``until``."""
        del until
        query: dict[str, Any] = {"stdout": 1, "stderr": 1, "follow": int(follow), "tail": tail}
        query |= {"timestamps": int(timestamps), **({"since": since} if since else {})}
        task = self._object(f"/tasks/{quote(name)}")
        is_framed = not ((task.get("Spec") or {}).get("ContainerSpec") or {}).get("TTY")
        return self._get(f"/tasks/{quote(name)}/logs", query).frames(is_framed=is_framed)
