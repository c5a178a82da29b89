"""Further processes in containers of the built-in engine: what Docker's API calls execs."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from stackctl.engines.events import EventBus
from stackctl.engines.streams import STDERR, STDOUT, ProcessStreams
from stackctl.errors import Conflict, NotFound, StackctlError
from stackctl.model.observed import ObservedContainer
from stackctl.runtime.orphans import wait_for_code
from stackctl.runtime.supervisor_client import Call, SupervisorClient

_KEPT_EXECS: Final = 200
# As a shell and Docker have them.
_EXIT_CODES: Final = {"command-not-found": 127}
_CANNOT_START: Final = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """A further process in a container; ``size`` is its terminal's, height and width."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    stdin: bool = False
    privileged: bool = False
    size: tuple[int, int] | None = None
    detach_keys: str = ""


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


class Execs:
    """Processes asked for, by id; the last ones are remembered. Any thread may call any method."""

    def __init__(
        self, find: Callable[[str], ObservedContainer], supervisor: SupervisorClient, events: EventBus
    ) -> None:
        self._find = find
        self._supervisor = supervisor
        self._events = events
        self._execs: dict[str, Exec] = {}

    def create(self, name: str, request: ExecRequest) -> str:
        """Prepare a process, and return its id. Raises Conflict when the container does not run."""
        container = self._find(name)
        if container.state == "paused":
            raise Conflict(
                f"container {container.name} is paused, unpause the container before exec", code="container-paused"
            )
        if container.state != "running":
            raise Conflict(f"container {container.name} is not running", code="container-not-running")
        for old in list(self._execs)[:-_KEPT_EXECS]:
            if self._execs[old].ended.is_set():
                self._execs.pop(old, None)
        made = Exec(os.urandom(32).hex(), container.id, request, container)
        self._execs[made.id] = made
        self._events.tell_container(container, f"exec_create: {' '.join(request.argv)}", execID=made.id)
        return made.id

    def find(self, exec_id: str) -> Exec:
        """Return a prepared, running or ended process. Raises NotFound."""
        found = self._execs.get(exec_id)
        if found is None:
            raise NotFound(f"No such exec instance: {exec_id}", code="no-such-exec")
        return found

    def start(self, exec_id: str, *, detach: bool) -> ProcessStreams | None:
        """Start a prepared process; return its streams, None with ``detach``. Raises Conflict if it was before."""
        process = self.find(exec_id)
        if process.pid or process.ended.is_set():
            raise Conflict(f"exec {exec_id} has been started already", code="exec-started")
        request = process.request
        # Nobody sits at the terminal of a detached one.
        has_terminal = request.tty and not detach
        theirs, ours = _pipes(request, detach)
        arguments = {
            "name": process.container_id,
            "argv": list(request.argv),
            "env": list(request.env),
            "user": request.user,
            "working_dir": request.working_dir,
            "tty": has_terminal,
            "privileged": request.privileged,
        }
        try:
            call = self._supervisor.begin("exec", theirs, **arguments)
        finally:
            for fd in theirs:
                os.close(fd)
        try:
            _, message, received = call.next()
        except StackctlError as error:
            process.exit_code = _EXIT_CODES.get(error.code, _CANNOT_START)
            process.ended.set()
            for fd in ours:
                os.close(fd)
            raise
        process.pid = message["pid"]
        process.pidfd = _pidfd(process.pid)
        process.streams = _streams(request, ours, received)
        if request.size is not None:
            process.streams.resize(*request.size)
        self._events.tell_container(process.container, f"exec_start: {' '.join(request.argv)}", execID=process.id)
        threading.Thread(target=self._wait_for_exit, args=(process, call), name="exec", daemon=True).start()
        if detach:
            process.streams.close()
            return None
        return process.streams

    def _wait_for_exit(self, process: Exec, call: Call) -> None:
        _wait_for_exit(process, call)
        self._events.tell_container(process.container, "exec_die", execID=process.id, exitCode=str(process.exit_code))

    def resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of a process's terminal."""
        streams = self.find(exec_id).streams
        if streams is not None:
            streams.resize(height, width)


def _pipes(request: ExecRequest, detach: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the process's three descriptors and ours: stdin's end (or none), stdout's, stderr's."""
    if detach:
        null = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(3)]
        return tuple(null), ()
    if request.tty:
        return (), ()
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
