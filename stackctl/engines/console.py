"""Single containers of the built-in engine: what Docker's API asks of them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stackctl import labels
from stackctl.engines.container_filters import IMPLY_ALL, check, passes
from stackctl.engines.events import EventBus
from stackctl.engines.local import LocalEngine
from stackctl.engines.log_readers import Readers
from stackctl.engines.streams import LogStreams
from stackctl.errors import Conflict, NotFound, StackctlError, UsageError
from stackctl.model.container import RestartPolicy, VolumeMount
from stackctl.model.limits import Limits
from stackctl.model.observed import ObservedContainer
from stackctl.runtime.log_files import Chunk
from stackctl.runtime.log_reader import LogReader, last_lines
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.processes import Process, processes_of
from stackctl.runtime.supervisor_client import Call, SupervisorClient
from stackctl.wire import codec

_LOOK_S: Final = 1.0
_KILL_S: Final = 10.0
_RUNS: Final = ("running", "restarting", "paused")
CONDITIONS: Final = ("not-running", "next-exit", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which part of a log: the last ``tail`` lines (None for all) from ``since_ns`` on, following or not."""

    follow: bool = False
    tail: int | None = None
    since_ns: int = 0
    until_ns: int = 0


class LocalConsole:
    """Containers by name or id, one at a time. Any thread may call any method."""

    def __init__(self, paths: EnginePaths, engine: LocalEngine, supervisor: SupervisorClient, events: EventBus) -> None:
        self._paths = paths
        self._engine = engine
        self._supervisor = supervisor
        self._events = events
        self.readers = Readers()

    def list(self, *, is_all: bool, filters: Mapping[str, Sequence[str]]) -> list[ObservedContainer]:
        """Return containers, the newest first: running ones, or all; those that pass every filter.

        Raises UsageError for a filter there is not, NotFound for a container that one names in vain.
        """
        check(filters)
        before = max((self.find(name).created_ns for name in filters.get("before", ())), default=0)
        since = max((self.find(name).created_ns for name in filters.get("since", ())), default=0)
        is_all = is_all or any(filters.get(name) for name in IMPLY_ALL)
        found = [
            container
            for container in self._engine.containers()
            if (is_all or container.state in _RUNS) and passes(container, filters, before=before, since=since)
        ]
        return sorted(found, key=lambda container: (-container.created_ns, container.name))

    def find(self, name: str) -> ObservedContainer:
        """Return one container by id, name or unique beginning of an id. Raises NotFound, UsageError."""
        containers = self._engine.containers()
        wanted = name.removeprefix("/")
        for container in sorted(containers, key=lambda container: container.id != wanted):
            if wanted in (container.id, container.name):
                return container
        matches = [container for container in containers if wanted and container.id.startswith(wanted)]
        if len(matches) > 1:
            raise UsageError(f"multiple IDs found with provided prefix: {wanted}", code="ambiguous-id")
        if not matches:
            raise NotFound(f"No such container: {wanted}", code="no-such-container")
        return matches[0]

    def start(self, name: str) -> None:
        """Start a container. One that is removed after its end is also removed when it cannot start."""
        container = self.find(name)
        if container.state == "paused":
            raise Conflict("cannot start a paused container, try unpause instead", code="container-paused")
        try:
            self._supervisor.call("start", name=container.id)
        except StackctlError:
            if container.spec is not None and container.spec.auto_remove:
                self.remove_quietly(container)
            raise

    def stop(self, name: str, grace_s: float | None) -> None:
        """Stop a container; None gives it the grace it was made with."""
        self._supervisor.call("stop", name=self.find(name).id, grace_s=grace_s)

    def restart(self, name: str, grace_s: float | None) -> None:
        """Stop and start a container."""
        container = self.find(name)
        with self.readers.reading(container.id):  # one that is to be removed after its end lives on
            self.stop(container.id, grace_s)
            self.start(container.id)
        self._events.tell_container(container, "restart")

    def kill(self, name: str, signal: str) -> None:
        """Send a signal to a container's first process; SIGKILL has done its work on return."""
        container = self.find(name)
        self._supervisor.call("kill", name=container.id, signal=signal)
        if signal.upper().removeprefix("SIG") in ("KILL", "9"):
            call = self._supervisor.begin("wait", name=container.id, condition="not-running")
            with contextlib.suppress(queue.Empty, NotFound):
                call.next(_KILL_S)

    def pause(self, name: str) -> None:
        """Let a container's processes stand still."""
        self._supervisor.call("pause", name=self.find(name).id)

    def unpause(self, name: str) -> None:
        """Let them go on."""
        self._supervisor.call("unpause", name=self.find(name).id)

    def rename(self, name: str, new_name: str) -> None:
        """Give a container another name."""
        self._supervisor.call("rename", name=self.find(name).id, new_name=new_name)

    def update(self, container: ObservedContainer, limits: Limits, restart: RestartPolicy) -> None:
        """Change limits and restart policy of a container that may run."""
        if container.spec is None:
            raise NotFound(f"no such container: {container.name}", code="no-such-container")
        spec = replace(container.spec, limits=limits, restart=restart)
        self._supervisor.call("update", name=container.id, spec=codec.encode(spec), fields=["limits", "restart"])
        self._events.tell_container(container, "update")

    def remove(self, name: str, *, force: bool, with_volumes: bool) -> None:
        """Remove a container; ``with_volumes`` its anonymous volumes too."""
        container = self.find(name)
        self._supervisor.call("remove", name=container.id, force=force)
        if with_volumes:
            self._remove_anonymous_volumes(container)

    def remove_quietly(self, container: ObservedContainer) -> None:
        """Remove a container that has ended with its anonymous volumes; somebody may have been faster."""
        with contextlib.suppress(StackctlError):
            self.remove(container.id, force=False, with_volumes=True)

    def _remove_anonymous_volumes(self, container: ObservedContainer) -> None:
        anonymous = {v.name for v in self._engine.volumes() if labels.ANONYMOUS_VOLUME in dict(v.labels)}
        for mount in container.spec.mounts if container.spec else ():
            if isinstance(mount, VolumeMount) and mount.volume in anonymous:
                with contextlib.suppress(StackctlError):  # in use elsewhere, or gone
                    self._supervisor.call("remove-volume", name=mount.volume)

    def begin_wait(self, name: str, condition: str) -> Call:
        """Wait from now on for ``condition`` (one of CONDITIONS); ``end_wait`` brings the exit code."""
        if condition not in CONDITIONS:
            raise UsageError(f'invalid condition: "{condition}"', code="invalid-condition")
        return self._supervisor.begin("wait", name=self.find(name).id, condition=condition)

    def end_wait(self, call: Call, is_given_up: Callable[[], bool]) -> int | None:
        """Return the exit code once the condition holds. None when ``is_given_up``, which is asked now and then."""
        while True:
            try:
                kind, message, _ = call.next(_LOOK_S)
            except queue.Empty:
                if is_given_up():
                    self._supervisor.withdraw(call)
                    return None
                continue
            if kind == "ok":
                code: int = message["exit_code"]
                return code

    def top(self, name: str) -> Sequence[Process]:
        """Return a running container's processes. Raises Conflict when it does not run."""
        container = self.find(name)
        if container.state not in ("running", "paused"):
            raise Conflict(f"container {container.name} is not running", code="container-not-running")
        return processes_of(container.id)

    def logs(self, name: str, query: LogQuery, give_up_fd: int) -> Iterator[Chunk]:
        """Yield a log's chunks; a following one ends with the container, or when ``give_up_fd`` is readable."""
        container = self.find(name)
        with self.readers.reading(container.id):
            reader = LogReader(f"{self._paths.container(container.id)}/log")
            past = reader.read()
            if query.tail is not None:
                past = last_lines(past, query.tail)
            yield from _between(past, query)
            if query.follow and container.state != "exited":
                yield from _between(reader.follow(give_up_fd), query)

    def attach(self, name: str, *, with_input: bool, from_start: bool) -> LogStreams:
        """Return a container's streams: its output as logged, its input if it takes any.

        Of one that does not run, those of its next run; with ``from_start`` and ended, of the last.
        """
        container = self.find(name)
        if container.state == "paused":
            raise Conflict(f"container {container.name} is paused, unpause it before attach", code="container-paused")
        folder = f"{self._paths.container(container.id)}/log"
        os.makedirs(folder, 0o700, exist_ok=True)
        is_terminal = container.spec is not None and container.spec.tty
        is_next_run = container.state == "created" or (container.state == "exited" and not from_start)
        streams = LogStreams(folder, is_terminal=is_terminal, from_start=from_start, is_next_run=is_next_run)
        leave = self.readers.enter(container.id)
        streams.on_close = leave
        if container.state == "running":
            self._give_input(container, streams, with_input)
        elif is_next_run and (with_input or is_terminal):
            # Its input comes into being with its first process.
            call = self._supervisor.begin("wait", name=container.id, condition="next-start")
            streams.on_close = lambda: self._leave_before_start(call, leave)
            threading.Thread(
                target=self._give_input_once_started, args=(container, call, streams, with_input), daemon=True
            ).start()
        return streams

    def _leave_before_start(self, call: Call, leave: Callable[[], None]) -> None:
        self._supervisor.withdraw(call)
        leave()

    def _give_input_once_started(
        self, container: ObservedContainer, call: Call, streams: LogStreams, with_input: bool
    ) -> None:
        try:
            while call.next()[0] != "ok":
                pass
            self._give_input(container, streams, with_input)
        except StackctlError:
            streams.give_input(-1)

    def _give_input(self, container: ObservedContainer, streams: LogStreams, with_input: bool) -> None:
        if not with_input and not streams.is_terminal:
            return
        is_once = with_input and container.spec is not None and container.spec.stdin_once
        call = self._supervisor.begin("attach", name=container.id, once=is_once)
        _, _, fds = call.next()
        streams.give_input(fds[0] if fds else -1)

    def resize(self, name: str, height: int, width: int) -> None:
        """Set the size of a container's terminal; nothing without one. Raises Conflict when it does not run."""
        container = self.find(name)
        if container.state != "running":
            raise Conflict(f"container {container.name} is not running", code="container-not-running")
        if container.spec is None or not container.spec.tty:
            return
        folder = f"{self._paths.container(container.id)}/log"
        streams = LogStreams(folder, is_terminal=True, from_start=True)
        try:
            self._give_input(container, streams, False)
            streams.resize(height, width)
        finally:
            streams.close()


def _between(chunks: Iterator[Chunk], query: LogQuery) -> Iterator[Chunk]:
    for chunk in chunks:
        if query.until_ns and chunk.time_ns > query.until_ns:
            return
        if chunk.time_ns >= query.since_ns:
            yield chunk
