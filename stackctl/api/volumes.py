"""``/volumes``. Source: Docker Engine API 1.51, Volume."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from stackctl import labels
from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.fields import Fields
from stackctl.api.query import filters_of
from stackctl.api.routing import Answer, Route
from stackctl.api.selecting import Filters, check_known, has_labels, has_name, is_older, truth
from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.model.observed import ObservedVolume
from stackctl.model.volume import VolumeSpec

Arguments = dict[str, str]
_NS: Final = 1_000_000_000
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_FILTERS: Final = ("dangling", "driver", "label", "name")
_PRUNE_FILTERS: Final = ("all", "label", "label!", "until")
# Before this version a prune took volumes with a name, too.
_ANONYMOUS_ONLY_SINCE: Final = (1, 42)


class Volumes(Protocol):
    """What these routes need of volumes."""

    def all(self) -> Sequence[ObservedVolume]: ...
    def find(self, name: str) -> ObservedVolume: ...
    def create(self, spec: VolumeSpec) -> ObservedVolume: ...
    def remove(self, name: str) -> None: ...
    def prune(self, candidates: Iterable[ObservedVolume]) -> tuple[list[str], int]: ...


class VolumeRoutes:
    """``/volumes``."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/volumes", self._list),
            Route("POST", "/volumes/create", self._create),
            Route("POST", "/volumes/prune", self._prune),
            Route("GET", "/volumes/{name}", self._inspect),
            Route("DELETE", "/volumes/{name}", self._remove),
        ]

    def _list(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        check_known(filters, _FILTERS)
        found = [volume_json(volume) for volume in self._volumes.all() if _passes(volume, filters)]
        return Answer(200, {"Volumes": found, "Warnings": None})

    def _inspect(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        return Answer(200, volume_json(self._volumes.find(arguments["name"])))

    def _create(self, request: Request, _: Connection, __: Arguments) -> Answer:
        body = Fields(request.json())
        name, driver = body.text("Name"), body.text("Driver") or "local"
        if name and not _NAME.fullmatch(name):
            raise BadRequest(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
            )
        if driver != "local":
            return Answer(
                404, {"message": f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'}
            )
        if body.given(("ClusterVolumeSpec",)):
            raise BadRequest("there are no cluster volumes here")
        options, marks = body.pairs("DriverOpts"), body.pairs("Labels")
        spec = VolumeSpec(name=name, options=tuple(sorted(options.items())), labels=tuple(sorted(marks.items())))
        try:
            return Answer(201, volume_json(self._volumes.create(spec)))
        except EngineError as error:
            if error.code != "volume-driver":
                raise
            raise BadRequest(error.message) from error

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        name = arguments["name"]
        try:
            self._volumes.remove(name)
        except NotFound:
            if not request.flag("force"):
                raise
        except Conflict as error:
            return Answer(409, {"message": f"remove {name}: volume is in use: {error.message}"})
        return Answer(204)

    def _prune(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        check_known(filters, _PRUNE_FILTERS)
        now_ns = time.time_ns()
        takes_all = truth(filters, "all") or (request.version or _ANONYMOUS_ONLY_SINCE) < _ANONYMOUS_ONLY_SINCE
        chosen = [
            volume
            for volume in self._volumes.all()
            if (takes_all or labels.ANONYMOUS_VOLUME in dict(volume.labels))
            and has_labels(volume.labels, filters)
            and is_older(volume.created_ns, filters, now_ns)
        ]
        names, freed = self._volumes.prune(chosen)
        return Answer(200, {"VolumesDeleted": names or None, "SpaceReclaimed": freed})


def volume_json(volume: ObservedVolume) -> dict[str, Any]:
    """Return a volume as Docker's clients read it."""
    return {
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volume.mountpoint,
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created_ns // _NS)),
        "Labels": dict(volume.labels),
        "Scope": "local",
        "Options": dict(volume.spec.options) or None if volume.spec else None,
    }


def _passes(volume: ObservedVolume, filters: Filters) -> bool:
    dangling = truth(filters, "dangling")
    return (
        has_name(volume.name, filters)
        and has_labels(volume.labels, filters)
        and (not filters.get("driver") or "local" in filters["driver"])
        and (dangling is None or dangling == (not volume.used_by))
    )
