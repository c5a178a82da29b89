"""Routes of the engine itself and of stacks."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from stackctl.api.connection import BadRequest, ClientGone, Connection, Request
from stackctl.api.image_transfer import BodyStream
from stackctl.api.routing import Answer, Route
from stackctl.engines.stacks import Stacks
from stackctl.reconcile.plan_json import plan_json
from stackctl.reconcile.plan_text import plan_summary
from stackctl.wire import codec
from stackctl.wire.stack_request import run_request_from_json, stack_request_from_json
from stackctl.wire.wire_error import WireError

Arguments = dict[str, str]


class Engine(Protocol):
    """What these routes need of the engine."""

    def status(self) -> dict[str, Any]: ...
    def stop(self, *, force: bool) -> None: ...
    def remove_set_aside(self, name: str) -> None: ...


class SystemRoutes:
    """``/stackctl``."""

    def __init__(self, engine: Engine, stacks: Stacks) -> None:
        self._engine = engine
        self._stacks = stacks

    def routes(self) -> list[Route]:
        """Return the table."""
        prefix = "/stackctl/v1"
        return [
            Route("GET", f"{prefix}/engine", lambda *_: Answer(200, self._engine.status())),
            Route("POST", f"{prefix}/engine/stop", self._stop),
            Route("DELETE", f"{prefix}/engine/set-aside/{{name}}", self._remove_set_aside),
            Route("POST", f"{prefix}/stacks/{{project}}/plan", self._plan),
            Route("POST", f"{prefix}/stacks/{{project}}/apply", self._apply),
            Route("POST", f"{prefix}/stacks/{{project}}/run", self._run),
            Route("POST", f"{prefix}/stacks/{{project}}/builds", self._builds),
            Route("POST", f"{prefix}/contexts", self._add_context),
            Route("POST", f"{prefix}/applies/{{id}}/cancel", self._cancel),
        ]

    def _stop(self, request: Request, _: Connection, __: Arguments) -> Answer:
        body = request.json()
        self._engine.stop(force=bool(body.get("force")) if isinstance(body, dict) else False)
        return Answer(204)

    def _remove_set_aside(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        self._engine.remove_set_aside(arguments["name"])
        return Answer(204)

    def _plan(self, request: Request, _: Connection, arguments: Arguments) -> Answer:
        plan, diagnostics = self._stacks.plan(arguments["project"], _parse(stack_request_from_json, request))
        told = [codec.encode(diagnostic) for diagnostic in (*diagnostics, *plan.warnings)]
        return Answer(200, {"plan": plan_json(plan), "text": plan_summary(plan), "diagnostics": told})

    def _apply(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        wanted = _parse(stack_request_from_json, request)
        _stream_events(connection, lambda emit: self._stacks.apply(arguments["project"], wanted, emit))

    def _run(self, request: Request, connection: Connection, arguments: Arguments) -> None:
        wanted = _parse(run_request_from_json, request)
        _stream_events(connection, lambda emit: self._stacks.run(arguments["project"], wanted, emit))

    def _builds(self, request: Request, _: Connection, __: Arguments) -> Answer:
        return Answer(200, {"services": self._stacks.builds(_parse(stack_request_from_json, request))})

    def _add_context(self, request: Request, _: Connection, __: Arguments) -> Answer:
        return Answer(201, {"id": self._stacks.add_context(BodyStream(request.body()))})

    def _cancel(self, _: Request, __: Connection, arguments: Arguments) -> Answer:
        self._stacks.cancel(arguments["id"])
        return Answer(204)


def _parse(read: Callable[[object], Any], request: Request) -> Any:
    try:
        return read(request.json())
    except WireError as error:
        raise BadRequest(str(error)) from error


def _stream_events(connection: Connection, act: Callable[[Callable[[dict[str, Any]], None]], None]) -> None:
    """Run ``act`` in a thread of its own and send its events: a client that leaves stops nothing."""
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            act(events.put)
        finally:
            events.put(None)

    threading.Thread(target=work, name="apply").start()
    connection.begin_stream("application/x-ndjson")
    try:
        while (event := events.get()) is not None:
            connection.stream(json.dumps(event, separators=(",", ":")).encode() + b"\n")
        connection.end_stream()
    except ClientGone:
        return
