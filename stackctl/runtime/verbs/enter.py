"""enter: a further process in a running container, for `exec` and for health probes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from stackctl.errors import Conflict, ContainerError
from stackctl.model.container import HostNetwork
from stackctl.runtime import spawn
from stackctl.runtime.init import enter as init_enter
from stackctl.runtime.init.plan import EnterPlan
from stackctl.runtime.init_plan import container_env, hostname_of, process_plan
from stackctl.runtime.kernel import libc
from stackctl.runtime.kernel.process import clone, exit_code
from stackctl.runtime.record import Container
from stackctl.runtime.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterRequest:
    """What to execute in a container. ``descriptors`` are stdin, stdout, stderr; not used with a terminal."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    has_terminal: bool = False
    is_privileged: bool = False
    descriptors: tuple[int, int, int] = (-1, -1, -1)


@dataclass(slots=True, eq=False)
class Entered:
    """A process in a container: our own child. ``exit_code`` is None while it lives."""

    pid: int
    pidfd: int
    terminal_fd: int = -1
    exit_code: int | None = None


OnStart = Callable[["Entered | None", "Exception | None"], None]
OnExit = Callable[[int], None]


def enter(world: World, container: Container, request: EnterRequest, on_start: OnStart, on_exit: OnExit) -> None:
    """Execute in the container; ``on_start`` gets the process or why there is none, ``on_exit`` its code.

    ``on_exit`` is called only after a successful ``on_start``.
    """
    if not container.is_running or container.phase != "running":
        on_start(None, Conflict(f"container {container.name} is not running", code="container-not-running"))
        return
    with ExitStack() as undo:
        report = spawn.Report.open()
        undo.callback(report.close)
        try:
            entered = _born(world, container, request, report)
        finally:
            report.close_child_ends()
        undo.pop_all()
    state = _Starting(world, container, request, report, entered, on_start, on_exit)
    state.look = spawn.when_started(world.loop, report, state.started)
    world.loop.register(entered.pidfd, state.died)


@dataclass(slots=True, eq=False)
class _Starting:
    """One process from its birth to its end."""

    world: World
    container: Container
    request: EnterRequest
    report: spawn.Report
    entered: Entered
    on_start: OnStart
    on_exit: OnExit
    look: Callable[[], None] | None = None
    has_failed: bool = False

    def started(self, data: bytes) -> None:
        """The child has executed, or told why not."""
        self.look = None
        self.entered.terminal_fd = self.report.take_terminal()
        self.report.close()
        if not data:
            self.on_start(self.entered, None)
            return
        self.has_failed = True
        self.on_start(None, spawn.failure(data, f"exec in {self.container.name}", self.request.argv[0]))

    def died(self) -> None:
        """The child is gone: reap it and pass its code on."""
        self.world.loop.unregister(self.entered.pidfd)
        if self.look is not None:
            self.look()
        _, status = os.waitpid(self.entered.pid, 0)
        os.close(self.entered.pidfd)
        self.entered.exit_code = exit_code(status)
        if not self.has_failed:
            self.on_exit(self.entered.exit_code)


def _born(world: World, container: Container, request: EnterRequest, report: spawn.Report) -> Entered:
    spec = container.spec
    env = (*container_env(spec, hostname_of(container)), *(["TERM=xterm"] if request.has_terminal else []))
    cgroup = world.cgroups.find(world.paths.engine_id, container.id)
    joins = world.cgroups.join_fds(cgroup)
    try:
        process = process_plan(
            spec,
            argv=request.argv,
            env=(*env, *request.env),
            user=request.user or spec.user,
            working_dir=request.working_dir or spec.working_dir,
            has_terminal=request.has_terminal,
            is_privileged=spec.privileged or request.is_privileged,
            descriptors=request.descriptors,
            error_fd=report.error_write,
            channel_fd=report.child_channel_fd,
            cgroup_join_fds=joins.write_fds,
        )
        plan = EnterPlan(process, container.pidfd, _namespaces(container))
        return _clone_into(container, plan, joins.birth_fd)
    finally:
        for fd in joins.fds:
            os.close(fd)


def _namespaces(container: Container) -> int:
    kinds = libc.CLONE_NEWNS | libc.CLONE_NEWCGROUP
    kinds |= 0 if container.spec.uts_mode == "host" else libc.CLONE_NEWUTS
    kinds |= 0 if container.spec.ipc_mode == "host" else libc.CLONE_NEWIPC
    return kinds | (0 if isinstance(container.spec.networking, HostNetwork) else libc.CLONE_NEWNET)


def _clone_into(container: Container, plan: EnterPlan, birth_fd: int) -> Entered:
    with pids_of(container if container.spec.pid_mode != "host" else None):
        born = clone(0, cgroup_fd=birth_fd)
        if born.pid == 0:
            init_enter.run(plan)  # never returns: what follows is the parent's
    return Entered(born.pid, born.pidfd)


@contextmanager
def pids_of(container: Container | None) -> Iterator[None]:
    """Let what is born inside be in the container's pid namespace; None is our own. Raises ContainerError."""
    if container is None:
        yield
        return
    # The kernel puts *children* of who calls setns into a pid namespace: set ours aside for one clone.
    # Order: the way back before the way in. Without a descriptor for it, whatever is started next would be born there.
    own = os.pidfd_open(os.getpid())
    try:
        libc.setns(container.pidfd, libc.CLONE_NEWPID)
        yield
    except ProcessLookupError as error:
        raise ContainerError(f"container {container.name} has just ended", code="container-not-running") from error
    finally:
        libc.setns(own, libc.CLONE_NEWPID)
        os.close(own)
