"""Single containers of the built-in engine: what Docker's API asks of them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stackctl import labels
from stackctl.engines.events import EventBus
from stackctl.engines.local import LocalEngine
from stackctl.engines.streams import STDERR, STDOUT, LogStreams, ProcessStreams
from stackctl.errors import Conflict, NotFound, StackctlError
from stackctl.model.container import VolumeMount
from stackctl.model.observed import ObservedContainer
from stackctl.runtime.log_files import Chunk
from stackctl.runtime.log_reader import LogReader, last_lines
from stackctl.runtime.orphans import wait_for_code
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.processes import Process, processes_of
from stackctl.runtime.supervisor_client import Call, SupervisorClient

_KEPT_EXECS: Final = 200
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which part of a log: the last ``tail`` lines (None for all) from ``since_ns`` on, following or not."""

    follow: bool = False
    tail: int | None = None
    since_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """A further process in a container."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    stdin: bool = False
    privileged: bool = False


@dataclass(slots=True, eq=False)
class Exec:
    """A process asked for. ``exit_code`` is None until it has ended, ``pid`` 0 until it has started."""

    id: str
    container_id: str
    request: ExecRequest
    container: ObservedContainer
    pid: int = 0
    exit_code: int | None = None
    pidfd: int = -1
    streams: ProcessStreams | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class LocalConsole:
    """Containers by name or id, one at a time. Any thread may call any method."""

    def __init__(self, paths: EnginePaths, engine: LocalEngine, supervisor: SupervisorClient, events: EventBus) -> None:
        self._paths = paths
        self._engine = engine
        self._supervisor = supervisor
        self._events = events
        self._execs: dict[str, Exec] = {}

    def list(self, *, is_all: bool, filters: Mapping[str, Sequence[str]]) -> list[ObservedContainer]:
        """Return containers, the newest first: running ones, or all; those that pass every filter."""
        wanted = filters.get("status")
        found = [
            container
            for container in self._engine.containers()
            if (is_all or wanted or container.state in ("running", "restarting", "paused"))
            and _passes(container, filters)
        ]
        return sorted(found, key=lambda container: (-container.created_ns, container.name))

    def find(self, name: str) -> ObservedContainer:
        """Return one container by name, id or unique beginning of an id. Raises NotFound, Conflict."""
        containers = self._engine.containers()
        wanted = name.removeprefix("/")
        for container in containers:
            if wanted in (container.name, container.id):
                return container
        matches = [container for container in containers if wanted and container.id.startswith(wanted)]
        if len(matches) > 1:
            raise Conflict(f"several containers have an id that starts with {wanted}", code="ambiguous-id")
        if not matches:
            raise NotFound(f"No such container: {wanted}", code="no-such-container")
        return matches[0]

    def start(self, name: str) -> None:
        """Start a container."""
        self._supervisor.call("start", name=self.find(name).id)

    def stop(self, name: str, grace_s: float | None) -> None:
        """Stop a container; None gives it the grace it was made with."""
        self._supervisor.call("stop", name=self.find(name).id, grace_s=grace_s)

    def restart(self, name: str, grace_s: float | None) -> None:
        """Stop and start a container."""
        container = self.find(name)
        self.stop(container.id, grace_s)
        self.start(container.id)
        self._events.tell_container(container, "restart")

    def kill(self, name: str, signal: str) -> None:
        """Send a signal to a container's first process."""
        self._supervisor.call("kill", name=self.find(name).id, signal=signal)

    def remove(self, name: str, *, force: bool, with_volumes: bool) -> None:
        """Remove a container; ``with_volumes`` its anonymous volumes too."""
        container = self.find(name)
        self._supervisor.call("remove", name=container.id, force=force)
        if with_volumes:
            self._remove_anonymous_volumes(container)

    def _remove_anonymous_volumes(self, container: ObservedContainer) -> None:
        anonymous = {v.name for v in self._engine.volumes() if labels.ANONYMOUS_VOLUME in dict(v.labels)}
        for mount in container.spec.mounts if container.spec else ():
            if isinstance(mount, VolumeMount) and mount.volume in anonymous:
                with contextlib.suppress(StackctlError):  # in use elsewhere, or gone
                    self._supervisor.call("remove-volume", name=mount.volume)

    def wait(self, name: str, condition: str, is_given_up: Callable[[], bool]) -> int | None:
        """Return the exit code once ``condition`` (``not-running``, ``next-exit``, ``removed``) holds.

        None when ``is_given_up``, which is asked now and then.
        """
        call = self._supervisor.begin("wait", name=self.find(name).id, condition=condition)
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
        if container.state != "running":
            raise Conflict(f"container {container.name} is not running", code="container-not-running")
        return processes_of(container.id)

    def logs(self, name: str, query: LogQuery, give_up_fd: int) -> Iterator[Chunk]:
        """Yield a log's chunks; a following one ends with the container, or when ``give_up_fd`` is readable."""
        reader = LogReader(f"{self._paths.container(self.find(name).id)}/log")
        past = reader.read()
        if query.tail is not None:
            past = last_lines(past, query.tail)
        yield from _between(past, query)
        if query.follow:
            yield from _between(reader.follow(give_up_fd), query)

    def attach(self, name: str, *, with_input: bool, from_start: bool) -> LogStreams:
        """Return a container's streams: its output as logged, its input if it takes any."""
        container = self.find(name)
        folder = f"{self._paths.container(container.id)}/log"
        os.makedirs(folder, 0o700, exist_ok=True)
        is_terminal = container.spec is not None and container.spec.tty
        streams = LogStreams(folder, is_terminal=is_terminal, from_start=from_start)
        if container.state == "running":
            self._give_input(container.id, streams, with_input)
        elif with_input or is_terminal:
            # Made but not started: its input comes into being with its first process.
            call = self._supervisor.begin("await", names=[container.name], condition="service_started")
            streams.on_close = lambda: self._supervisor.withdraw(call)
            threading.Thread(
                target=self._give_input_once_started, args=(container.id, call, streams, with_input), daemon=True
            ).start()
        return streams

    def _give_input_once_started(self, container_id: str, call: Call, streams: LogStreams, with_input: bool) -> None:
        try:
            while call.next()[0] != "ok":
                pass
            self._give_input(container_id, streams, with_input)
        except StackctlError:
            streams.give_input(-1)

    def _give_input(self, container_id: str, streams: LogStreams, with_input: bool) -> None:
        if not with_input and not streams.is_terminal:
            return
        call = self._supervisor.begin("attach", name=container_id, once=True)
        _, _, fds = call.next()
        streams.give_input(fds[0] if fds else -1)

    def resize(self, name: str, height: int, width: int) -> None:
        """Set the size of a container's terminal."""
        streams = LogStreams(self._paths.container(self.find(name).id), is_terminal=True, from_start=True)
        try:
            self._give_input(self.find(name).id, streams, True)
            streams.resize(height, width)
        finally:
            streams.close()

    def exec_create(self, name: str, request: ExecRequest) -> str:
        """Prepare a process, and return its id. Raises Conflict when the container does not run."""
        container = self.find(name)
        if container.state != "running":
            raise Conflict(f"container {container.name} is not running", code="container-not-running")
        for old in list(self._execs)[:-_KEPT_EXECS]:
            if self._execs[old].ended.is_set():
                self._execs.pop(old, None)
        made = Exec(os.urandom(32).hex(), container.id, request, container)
        self._execs[made.id] = made
        self._events.tell_container(container, f"exec_create: {' '.join(request.argv)}", execID=made.id)
        return made.id

    def exec_find(self, exec_id: str) -> Exec:
        """Return a prepared, running or ended process. Raises NotFound."""
        found = self._execs.get(exec_id)
        if found is None:
            raise NotFound(f"No such exec instance: {exec_id}", code="no-such-exec")
        return found

    def exec_start(self, exec_id: str, *, detach: bool) -> ProcessStreams | None:
        """Start a prepared process; return its streams, None with ``detach``. Raises Conflict if it was before."""
        process = self.exec_find(exec_id)
        if process.pid or process.ended.is_set():
            raise Conflict(f"exec {exec_id} has been started already", code="exec-started")
        request = process.request
        theirs, ours = _pipes(request, detach)
        arguments = {
            "name": process.container_id,
            "argv": list(request.argv),
            "env": list(request.env),
            "user": request.user,
            "working_dir": request.working_dir,
            "tty": request.tty,
            "privileged": request.privileged,
        }
        try:
            call = self._supervisor.begin("exec", theirs, **arguments)
        finally:
            for fd in theirs:
                os.close(fd)
        try:
            _, message, received = call.next()
        except StackctlError:
            process.ended.set()
            process.exit_code = 126
            for fd in ours:
                os.close(fd)
            raise
        process.pid = message["pid"]
        process.pidfd = _pidfd(process.pid)
        process.streams = _streams(request, ours, received)
        self._events.tell_container(process.container, f"exec_start: {' '.join(request.argv)}", execID=process.id)
        threading.Thread(target=self._wait_for_exit, args=(process, call), name="exec", daemon=True).start()
        if detach:
            process.streams.close()
            return None
        return process.streams

    def _wait_for_exit(self, process: Exec, call: Call) -> None:
        _wait_for_exit(process, call)
        self._events.tell_container(process.container, "exec_die", execID=process.id, exitCode=str(process.exit_code))

    def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of a process's terminal."""
        streams = self.exec_find(exec_id).streams
        if streams is not None:
            streams.resize(height, width)


def _pipes(request: ExecRequest, detach: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the process's three descriptors and ours: stdin's end (or none), stdout's, stderr's."""
    if request.tty:
        return (), ()
    if detach:
        null = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(3)]
        return tuple(null), ()
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    if not request.stdin:
        null_in = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        return (null_in, out_write, err_write), (out_read, err_read)
    in_read, in_write = os.pipe2(os.O_CLOEXEC)
    return (in_read, out_write, err_write), (out_read, err_read, in_write)


def _streams(request: ExecRequest, ours: tuple[int, ...], received: tuple[int, ...]) -> ProcessStreams:
    if request.tty and received:
        terminal = received[0]
        return ProcessStreams(stdin_fd=terminal, output={terminal: STDOUT}, is_terminal=True)
    output = dict(zip(ours[:2], (STDOUT, STDERR), strict=False))
    return ProcessStreams(stdin_fd=ours[2] if len(ours) > 2 else -1, output=output, is_terminal=False)


def _wait_for_exit(process: Exec, call: Call) -> None:
    try:
        while True:
            kind, message, _ = call.next()
            if kind == "ok":
                process.exit_code = message["exit_code"]
                return
    except (StackctlError, queue.Empty):
        # The supervisor is gone; what it started runs on.
        process.exit_code = wait_for_code(process.pidfd) if process.pidfd >= 0 else 255
    finally:
        if process.pidfd >= 0:
            os.close(process.pidfd)
        process.ended.set()


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:  # it has ended already
        return -1


def _passes(container: ObservedContainer, filters: Mapping[str, Sequence[str]]) -> bool:
    marks = dict(container.labels)
    for wanted in filters.get("label", ()):
        key, equals, value = wanted.partition("=")
        if key not in marks or (equals and marks[key] != value):
            return False
    statuses = filters.get("status")
    if statuses and container.state not in statuses:
        return False
    names = filters.get("name")
    if names and not any(name.removeprefix("/") in container.name for name in names):
        return False
    ids = filters.get("id")
    return not ids or any(container.id.startswith(one) for one in ids)


def _between(chunks: Iterator[Chunk], query: LogQuery) -> Iterator[Chunk]:
    for chunk in chunks:
        if query.until_ns and chunk.time_ns > query.until_ns:
            return
        if chunk.time_ns >= query.since_ns:
            yield chunk
