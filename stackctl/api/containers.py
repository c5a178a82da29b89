"""Routes of containers."""

from __future__ import annotations

import re
import time
from typing import Final

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.container_json import Folders, Sizes, inspect_json, list_json
from stackctl.api.container_top import columns_of, top_json
from stackctl.api.create_host import limits_of, restart_of
from stackctl.api.create_request import World, wanted_of
from stackctl.api.detach_keys import parse_detach_keys
from stackctl.api.fields import Fields
from stackctl.api.query import filters_of, seconds, size
from stackctl.api.routing import Answer, Route
from stackctl.api.selecting import is_older
from stackctl.api.start_errors import is_ours, told_to_docker
from stackctl.api.streams import relay, replay, send_logs
from stackctl.engines.console import LocalConsole
from stackctl.engines.container_files import ContainerFiles
from stackctl.engines.container_making import ContainerMaker
from stackctl.errors import Conflict, ContainerError, NotFound
from stackctl.model.container import Mount, RestartPolicy
from stackctl.model.observed import ObservedContainer

Arguments = dict[str, str]
_NUMBER: Final = re.compile(r"-?\d+")


class ContainerRoutes:
    """``/containers``."""

    def __init__(self, console: LocalConsole, maker: ContainerMaker, files: ContainerFiles, folders: Folders) -> None:
        self._console = console
        self._files = files
        self._maker = maker
        self._folders = folders

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("GET", "/containers/json", self._list),
            Route("POST", "/containers/create", self._create),
            Route("POST", "/containers/prune", self._prune),
            Route("GET", "/containers/{id}/json", self._inspect),
            Route("GET", "/containers/{id}/logs", self._logs),
            Route("GET", "/containers/{id}/top", self._top),
            Route("POST", "/containers/{id}/start", self._start),
            Route("POST", "/containers/{id}/stop", self._stop),
            Route("POST", "/containers/{id}/restart", self._restart),
            Route("POST", "/containers/{id}/kill", self._kill),
            Route("POST", "/containers/{id}/pause", self._pause),
            Route("POST", "/containers/{id}/unpause", self._unpause),
            Route("POST", "/containers/{id}/rename", self._rename),
            Route("POST", "/containers/{id}/update", self._update),
            Route("POST", "/containers/{id}/wait", self._wait),
            Route("POST", "/containers/{id}/attach", self._attach),
            Route("POST", "/containers/{id}/resize", self._resize),
            Route("GET", "/containers/{id}/attach/ws", lambda *_: _not_there("attaching over WebSocket")),
            Route("GET", "/containers/{id}/checkpoints", lambda *_: _not_there("checkpoints")),
            Route("POST", "/containers/{id}/checkpoints", lambda *_: _not_there("checkpoints")),
            Route("DELETE", "/containers/{id}", self._remove),
        ]

    def _list(self, request: Request, _: Connection, __: Arguments) -> Answer:
        limit = request.value("limit") or "0"
        if _NUMBER.fullmatch(limit) is None:
            raise BadRequest(f"limit: {limit!r} is no number")
        is_all = request.flag("all") or int(limit) > 0
        found = self._console.list(is_all=is_all, filters=filters_of(request))
        found = found[: int(limit)] if int(limit) > 0 else found
        with_size = request.flag("size")
        return Answer(200, [list_json(one, self._folders, self._sizes(one) if with_size else None) for one in found])

    def _sizes(self, container: ObservedContainer) -> Sizes:
        return Sizes(*self._files.sizes(container))

    def _create(self, request: Request, _: Connection, __: Arguments) -> Answer:
        body = Fields(request.json())
        if not body:
            raise BadRequest("config cannot be empty in order to create a container")
        image = self._maker.image(body.text("Image"), request.value("platform"))
        world = World(self._maker.network_name, self._maker.new_volume, self._mounts_of)
        wanted = wanted_of(body, request.value("name").removeprefix("/"), image, world)
        made = self._maker.create(wanted.spec, wanted.volumes)
        return Answer(201, {"Id": made, "Warnings": list(wanted.warnings)})

    def _mounts_of(self, name: str) -> tuple[Mount, ...]:
        try:
            spec = self._console.find(name).spec
        except NotFound as error:  # a client takes that for an image that is to be pulled
            raise BadRequest(f"No such container: {name}") from error
        return spec.mounts if spec is not None else ()

    def _inspect(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        container = self._console.find(arguments["id"])
        sizes = self._sizes(container) if request.flag("size") else None
        return Answer(200, inspect_json(container, self._folders, sizes))

    def _start(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        if request.json():
            raise BadRequest("starting container with non-empty request body was removed in API v1.24")
        container = self._console.find(arguments["id"])
        if container.state == "running":
            return Answer(304)
        try:
            self._console.start(container.id)
        except ContainerError as error:
            if is_ours(request) or container.spec is None:
                raise
            raise ContainerError(told_to_docker(error, container.spec.argv[0]), code=error.code) from error
        return Answer(204)

    def _stop(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        grace_s = seconds(request)
        if self._console.find(arguments["id"]).state not in ("running", "restarting", "paused"):
            return Answer(304)
        self._console.stop(arguments["id"], grace_s)
        return Answer(204)

    def _restart(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.restart(arguments["id"], seconds(request))
        return Answer(204)

    def _kill(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._console.kill(arguments["id"], request.value("signal") or "SIGKILL")
        return Answer(204)

    def _pause(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        self._console.pause(arguments["id"])
        return Answer(204)

    def _unpause(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        self._console.unpause(arguments["id"])
        return Answer(204)

    def _rename(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        container = self._console.find(arguments["id"])
        self._console.rename(container.id, self._maker.check_new_name(request.value("name"), container.name))
        return Answer(204)

    def _update(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        body = Fields(request.json())
        container = self._console.find(arguments["id"])
        assert container.spec is not None
        restart = container.spec.restart
        if body.within("RestartPolicy").text("Name"):
            restart = restart_of(body.within("RestartPolicy"))
        if container.spec.auto_remove and restart != RestartPolicy():
            raise BadRequest("Restart policy cannot be updated because AutoRemove is enabled for the container")
        self._console.update(container, limits_of(body, container.spec.limits), restart)
        return Answer(200, {"Warnings": None})

    def _wait(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        waiting = self._console.begin_wait(arguments["id"], request.value("condition") or "not-running")
        # Order: clients start the container only when they have seen the head of this answer.
        connection.begin_stream("application/json")
        code = self._console.end_wait(waiting, connection.is_gone)
        if code is None:
            raise ClientGone
        connection.stream(b'{"StatusCode":%d}\n' % code)
        connection.end_stream()

    def _prune(self, request: Request, _: Connection, __: Arguments) -> Answer:
        filters = filters_of(request)
        now_ns = time.time_ns()
        removed, reclaimed = [], 0
        for container in self._console.list(is_all=True, filters=filters):
            if container.state not in ("created", "exited") or not is_older(container.created_ns, filters, now_ns):
                continue
            written = self._files.sizes(container)[0]
            try:
                self._console.remove(container.id, force=False, with_volumes=False)
            except (Conflict, NotFound):  # somebody has been faster, or has started it
                continue
            removed.append(container.id)
            reclaimed += written
        return Answer(200, {"ContainersDeleted": removed or None, "SpaceReclaimed": reclaimed})

    def _remove(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        if request.flag("link"):
            raise BadRequest("not supported by this engine: links")
        self._console.remove(arguments["id"], force=request.flag("force"), with_volumes=request.flag("v"))
        return Answer(204)

    def _logs(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        send_logs(request, connection, self._console, arguments["id"])

    def _top(self, request: Request, __: Connection, arguments: Arguments) -> Answer:
        columns = columns_of(request.value("ps_args"))
        return Answer(200, top_json(self._console.top(arguments["id"]), time.time(), columns))

    def _attach(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        keys = parse_detach_keys(request.value("detachKeys"))
        if not request.flag("stream"):
            replay(request, connection, self._console, arguments["id"])
            return
        with_input = request.flag("stdin")
        streams = self._console.attach(arguments["id"], with_input=with_input, from_start=request.flag("logs"))
        relay(request, connection, streams, is_raw=streams.is_terminal, keys=keys)

    def _resize(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        height, width = size(request, "h"), size(request, "w")
        self._console.resize(arguments["id"], height, width)
        return Answer(200)


def _not_there(what: str) -> Answer:
    return Answer(501, {"message": f"not supported by this engine: {what}"})
