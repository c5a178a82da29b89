"""Routes of files in containers: `docker cp`, `docker diff`, `docker export` and `docker commit`."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from stackctl.api.connection import BadRequest, Connection, Request
from stackctl.api.container_config import config_json
from stackctl.api.image_transfer import BodyStream
from stackctl.api.routing import Answer, Route
from stackctl.engines.console import LocalConsole
from stackctl.engines.container_files import Commit, ContainerFiles
from stackctl.engines.path_stat import PathStat

Arguments = dict[str, str]
_STAT = "X-Docker-Container-Path-Stat"


class ContainerFileRoutes:
    """``/containers/{id}/archive`` ``changes`` and ``export``; ``/commit``."""

    def __init__(self, console: LocalConsole, files: ContainerFiles) -> None:
        self._console = console
        self._files = files

    def routes(self) -> list[Route]:
        """Return the table."""
        return [
            Route("HEAD", "/containers/{id}/archive", self._stat),
            Route("GET", "/containers/{id}/archive", self._send),
            Route("PUT", "/containers/{id}/archive", self._receive),
            Route("GET", "/containers/{id}/changes", self._changes),
            Route("GET", "/containers/{id}/export", self._export),
            Route("POST", "/commit", self._commit),
        ]

    def _stat(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        found = self._files.stat(self._console.find(arguments["id"]), request.value("path"))
        return Answer(200, headers={_STAT: _encoded(found)})

    def _send(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        container = self._console.find(arguments["id"])

        def begin(found: PathStat) -> None:
            connection.begin_stream("application/x-tar", {_STAT: _encoded(found)})

        self._files.send(container, request.value("path"), begin, connection.stream)
        connection.end_stream()

    def _receive(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        self._files.receive(
            self._console.find(arguments["id"]),
            request.value("path"),
            BodyStream(request.body()),
            keeps_kind=request.flag("noOverwriteDirNonDir"),
            as_user=request.flag("copyUIDGID"),
        )
        for _rest in request.body():
            pass
        return Answer(200)

    def _export(self, _: Request, connection: Connection, arguments: Arguments) -> None:
        container = self._console.find(arguments["id"])
        connection.begin_stream("application/octet-stream")
        self._files.export(container, connection.stream)
        connection.end_stream()

    def _commit(self, request: Request, _: Connection, __: Arguments) -> Answer:
        container = self._console.find(request.value("container"))
        assert container.spec is not None
        repository, tag = request.value("repo"), request.value("tag")
        wanted = Commit(
            name=f"{repository}:{tag}" if repository and tag else repository,
            config={**config_json(container.id, container.spec), **_given(request.json())},
            changes=request.query.get("changes", ()),
            author=request.value("author"),
            comment=request.value("comment"),
        )
        pauses = request.value("pause").lower() not in ("0", "false") and container.state == "running"
        if pauses:
            self._console.pause(container.id)
        try:
            image_id = self._files.commit(container, wanted)
        finally:
            if pauses:
                self._console.unpause(container.id)
        return Answer(201, {"Id": image_id})

    def _changes(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        found = self._files.changes(self._console.find(arguments["id"]))
        return Answer(200, [{"Path": change.path, "Kind": change.kind} for change in found])


def _given(body: object) -> dict[str, Any]:
    """Return what a request says about the configuration: of Docker's clients none says more than nothing."""
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadRequest("the configuration is no JSON object")
    return {key: value for key, value in body.items() if value}


def _encoded(found: PathStat) -> str:
    seconds, rest = divmod(found.modified_ns, 1_000_000_000)
    modified = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
    shape = {
        "name": found.name,
        "size": found.size_bytes,
        "mode": found.mode,
        "mtime": modified,
        "linkTarget": found.link_target,
    }
    return base64.b64encode(json.dumps(shape).encode()).decode()
