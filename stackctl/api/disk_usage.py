"""``GET /system/df``. Source: Docker Engine API 1.51, SystemDataUsage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.container_json import Folders, Sizes, list_json
from stackctl.api.routing import Answer, Route
from stackctl.api.volumes import volume_json
from stackctl.engines.disk_usage import ContainerUsage, StepUsage, VolumeUsage
from stackctl.images.config import rfc3339

Arguments = dict[str, str]
_KINDS: Final = ("build-cache", "container", "image", "volume")


class Usage(Protocol):
    """What is asked of the disk."""

    def layers_bytes(self) -> int: ...
    def images(self) -> list[dict[str, Any]]: ...
    def containers(self) -> Sequence[ContainerUsage]: ...
    def volumes(self) -> Sequence[VolumeUsage]: ...
    def steps(self) -> Sequence[StepUsage]: ...


class DiskUsageRoutes:
    """``/system/df``."""

    def __init__(self, usage: Usage, folders: Folders) -> None:
        self._usage = usage
        self._folders = folders

    def routes(self) -> list[Route]:
        """Return the table."""
        return [Route("GET", "/system/df", self._usages)]

    def _usages(self, request: Request, _: Connection, __: Arguments) -> Answer:
        kinds = request.query.get("type") or list(_KINDS)
        for kind in kinds:
            if kind not in _KINDS:
                raise BadRequest(f"unknown object type: {kind}")
        usage = self._usage
        is_wanted = set(kinds)
        return Answer(
            200,
            {
                "LayersSize": usage.layers_bytes() if "image" in is_wanted else 0,
                "Images": usage.images() if "image" in is_wanted else None,
                "Containers": self._containers() if "container" in is_wanted else None,
                "Volumes": [_volume(found) for found in usage.volumes()] if "volume" in is_wanted else None,
                "BuildCache": [_step(found) for found in usage.steps()] if "build-cache" in is_wanted else None,
            },
        )

    def _containers(self) -> list[dict[str, Any]]:
        return [
            list_json(found.container, self._folders, Sizes(found.written, found.total))
            for found in self._usage.containers()
        ]


def _volume(found: VolumeUsage) -> dict[str, Any]:
    usage = {"Size": found.size, "RefCount": len(found.volume.used_by)}
    return {**volume_json(found.volume), "UsageData": usage}


def _step(found: StepUsage) -> dict[str, Any]:
    return {
        "ID": found.key,
        "Parents": None,
        "Type": "regular",
        "Description": "step of a build",
        "InUse": False,
        "Shared": False,
        "Size": found.size,
        "CreatedAt": rfc3339(found.used_ns),
        "LastUsedAt": rfc3339(found.used_ns),
        "UsageCount": 1,
    }
