"""The client of an engine that is not ours: what our daemon does for stacks is done in this process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from stackctl.client.calls import encoded
from stackctl.client.connection import Where
from stackctl.client.engine_client import EngineClient
from stackctl.client.http import Hijacked, Readable, Response, hijack, quote
from stackctl.client.path_stat import PathStat
from stackctl.errors import NotFound
from stackctl.labels import SPEC
from stackctl.wire.protocol import PROTOCOL

if TYPE_CHECKING:
    from stackctl.engines.hosting import StackHost
    from stackctl.wire.stack_request import RunRequest, StackRequest

_SAYS_FRAMED: Final = (1, 42)
"""Since this version answers say whether they are multiplexed."""


class HostedClient(EngineClient):
    """Speaks to a Docker Engine; plans and applies by ``host()``, which is asked once, and only for that."""

    wants_dockerfile = True

    def __init__(
        self, where: Where, host: Callable[[], StackHost], *, version: tuple[int, int], patience_s: float
    ) -> None:
        super().__init__(where, patience_s=patience_s)
        self._host = host
        self._version = version

    @cached_property
    def _stacks(self) -> StackHost:
        return self._host()

    # -- what only our own engine has -----------------------------------------------------------------

    def protocol(self) -> int:
        """Return our own: nothing of it is spoken there."""
        return PROTOCOL

    def engine_status(self) -> dict[str, Any]:
        """Refuse. Raises NotFound."""
        raise _not_ours(self._path)

    def engine_stop(self, force: bool) -> None:
        """Refuse. Raises NotFound."""
        del force
        raise _not_ours(self._path)

    # -- stacks ---------------------------------------------------------------------------------------

    def plan(self, project: str, wanted: StackRequest) -> dict[str, Any]:
        """See ``EngineClient.plan``."""
        from stackctl.reconcile.plan_json import plan_json  # only for what changes stacks
        from stackctl.reconcile.plan_text import plan_summary
        from stackctl.wire import codec

        plan, diagnostics = self._stacks.plan(project, wanted)
        told = [codec.encode(diagnostic) for diagnostic in diagnostics]
        return {"plan": plan_json(plan), "text": plan_summary(plan), "diagnostics": told}

    def apply(self, project: str, wanted: StackRequest) -> Iterator[dict[str, Any]]:
        """Yield events until the last, ``end``. It goes on until then whether or not anybody reads them."""
        stacks = self._stacks
        return _events(lambda emit: stacks.apply(project, wanted, emit))

    def run(self, project: str, wanted: RunRequest) -> Iterator[dict[str, Any]]:
        """See ``EngineClient.run``."""
        stacks = self._stacks
        return _events(lambda emit: stacks.run(project, wanted, emit))

    def builds(self, project: str, wanted: StackRequest) -> list[str]:
        """See ``EngineClient.builds``."""
        del project
        return list(self._stacks.builds(wanted))

    def send_context(self, source: Readable) -> str:
        """See ``EngineClient.send_context``."""
        return self._stacks.add_context(source)

    def cancel(self, apply_id: str) -> None:
        """See ``EngineClient.cancel``."""
        self._stacks.cancel(apply_id)

    # -- where Docker differs -------------------------------------------------------------------------

    def events(
        self, *, since: str = "", until: str = "", kinds: Sequence[str] = (), labels: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        """See ``EngineClient.events``; without the label that is for planning alone."""
        for event in super().events(since=since, until=until, kinds=kinds, labels=labels):
            ((event.get("Actor") or {}).get("Attributes") or {}).pop(SPEC, None)
            yield event

    def containers(
        self, *, all: bool = False, labels: Sequence[str] = (), statuses: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """See ``EngineClient.containers``; without the label that is for planning alone."""
        found = super().containers(all=all, labels=labels, statuses=statuses)
        for entry in found:
            (entry.get("Labels") or {}).pop(SPEC, None)
        return found

    def start_container(self, name: str) -> None:
        """Start a container."""
        with _told():
            super().start_container(name)

    def container_archive(self, name: str, path: str) -> tuple[PathStat, Response]:
        """See ``EngineClient.container_archive``."""
        with _told():
            return super().container_archive(name, path)

    def stop_container(self, name: str, timeout_s: float | None = None) -> None:
        """Stop a container. Docker knows whole seconds."""
        super().stop_container(name, None if timeout_s is None else math.ceil(timeout_s))

    def restart_container(self, name: str, timeout_s: float | None = None) -> None:
        """Stop and start a container."""
        super().restart_container(name, None if timeout_s is None else math.ceil(timeout_s))

    def logs(
        self,
        name: str,
        follow: bool = False,
        tail: str = "all",
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> Iterator[tuple[int, bytes]]:
        """See ``EngineClient.logs``."""
        query = {"stdout": 1, "stderr": 1, "follow": int(follow), "tail": tail, "timestamps": int(timestamps)}
        bounds = {name: value for name, value in (("since", since), ("until", until)) if value}
        answer = self._get(f"/containers/{quote(name)}/logs", {**query, **bounds})
        return answer.frames(is_framed=self._is_framed(name))

    def attach(self, name: str, stdin: bool = False, logs: bool = True) -> Hijacked:
        """See ``EngineClient.attach``."""
        query = encoded({"stream": 1, "stdin": int(stdin), "stdout": 1, "stderr": 1, "logs": int(logs)}.items())
        return hijack(
            self._path,
            f"/containers/{quote(name)}/attach?{query}",
            patience_s=self._patience_s,
            is_framed=self._is_framed(name),
        )

    def exec_start(self, exec_id: str, tty: bool = False) -> Hijacked:
        """See ``EngineClient.exec_start``."""
        body = {"Detach": False, "Tty": tty}
        target = f"/exec/{quote(exec_id)}/start"
        return hijack(self._path, target, body=body, patience_s=self._patience_s, is_framed=not tty)

    def _is_framed(self, name: str) -> bool | None:
        if self._version >= _SAYS_FRAMED:
            return None
        return not self.inspect_container(name)["Config"]["Tty"]


def _told() -> AbstractContextManager[None]:
    from stackctl.engines.docker.errors import told_by_docker  # only for engines that are not ours

    return told_by_docker()


def _events(perform: Callable[[Callable[[dict[str, Any]], None]], None]) -> Iterator[dict[str, Any]]:
    """Yield what ``perform`` tells, as it does so in a thread of its own, up to the last event."""
    inbox: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=perform, args=(inbox.put,), name="stack", daemon=True).start()
    while True:
        event = inbox.get()
        yield event
        if event.get("event") == "end":
            return


def _not_ours(where: Where) -> NotFound:
    return NotFound(
        f"the engine at {where} is not the built-in one",
        code="engine-not-ours",
        hint="it is started and stopped by its own means; without --engine this command is about the built-in one",
    )
