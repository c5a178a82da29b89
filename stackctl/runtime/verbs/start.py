"""start: from a created or exited container to one whose first process has executed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from stackctl.errors import Conflict, ContainerError, EngineError
from stackctl.model.container import ContainerSpec, HostNetwork, ShareNetwork, VolumeMount
from stackctl.runtime import health, spawn
from stackctl.runtime.faults import fault_point
from stackctl.runtime.init import child
from stackctl.runtime.init.plan import InitPlan
from stackctl.runtime.init_plan import container_env, hostname_of, init_plan, process_plan
from stackctl.runtime.kernel import libc
from stackctl.runtime.kernel.devices import rules_for
from stackctl.runtime.kernel.process import clone, send_signal, start_ticks
from stackctl.runtime.log_files import STDERR, STDOUT
from stackctl.runtime.log_writer import PIPE_BYTES, mark_ended
from stackctl.runtime.record import Container
from stackctl.runtime.verbs import exits, hooks
from stackctl.runtime.verbs.enter import pids_of
from stackctl.runtime.world import World

Done = Callable[[Exception | None], None]
_F_SETPIPE_SZ = 1031
# As a shell and Docker have them.
_EXIT_CODES = {"command-not-found": 127, "command-not-executable": 126, "command-wrong-format": 126}
_CANNOT_START = 128


def start(world: World, container: Container, done: Done, *, replaces: str = "") -> None:
    """Start the container, and call ``done`` with None once its ``post_start`` has run, or with why not.

    A container that runs already is not started; its ``post_start`` is run if that is still due. The world is as
    before when it does not start. With ``replaces`` it gets no traffic before that of the container of this name.
    """

    def running(error: Exception | None) -> None:
        if error is None:
            hooks.after_start(world, container, done)
        else:
            done(error)

    if container.is_running and container.phase == "running":
        running(None)
        return
    if container.phase == "starting":
        _join_start(world, container, running)
        return
    container.facts.is_wanted = True
    container.facts.was_stopped = False
    container.facts.is_to_return = False
    container.facts.is_post_start_due = bool(container.spec.post_start)
    container.facts.restart_count = container.facts.back_off = 0
    container.facts.is_standby, container.facts.stands_for = bool(replaces), replaces
    launch(world, container, running)


def launch(world: World, container: Container, done: Done) -> None:
    """Start without touching what is wanted: also the way of the restart policy."""
    if container.restart_timer is not None:
        container.restart_timer.cancel()
        container.restart_timer = None
    before = container.phase
    try:
        world.set_phase(container, "starting")
    except EngineError as error:
        container.phase = before if before != "restarting" else "exited"
        done(error)
        return
    fault_point("start: row written")
    try:
        _launch(world, container, done)
    except (OSError, EngineError) as error:
        problem = error if isinstance(error, EngineError) else _os_failure(container, error)
        if container.is_running:
            # It is born, and goes: what it holds is given back with its exit.
            container.failed_start = lambda: _fail(world, container, problem, done)
            send_signal(container.pidfd, signal.SIGKILL)
            return
        _fail(world, container, problem, done)


def _join_start(world: World, container: Container, done: Done) -> None:
    """Report how the start that is under way ends: whoever asked first may have died meanwhile."""

    def look(changed: Container) -> None:
        if changed is not container or container.phase == "starting":
            return
        world.listeners.remove(look)
        what = container.facts.error or f"container {container.name} ended while it was being started"
        done(None if container.phase == "running" else ContainerError(what, code="container-start"))

    world.listeners.append(look)


def go_on(world: World, container: Container, error_read: int) -> None:
    """Follow a start that an earlier supervisor began; the child executes, or finds out that it was left alone."""
    report = spawn.Report.of_orphan(error_read)

    def executed(data: bytes) -> None:
        if data:
            container.look_at_start = None
            world.kept.drop(f"{container.id}/report")
            report.close()
            return  # it ends now, and what is wanted decides
        _finish(world, container, report, data, lambda _: None)

    container.look_at_start = spawn.when_started(world.loop, report, executed)


def _os_failure(container: Container, error: OSError) -> ContainerError:
    subject = f"{error.filename}: " if error.filename else ""
    return ContainerError(
        f"container {container.name} cannot be started: {subject}{error.strerror}", code="container-start"
    )


def _give_up(world: World, container: Container, problem: Exception) -> None:
    container.facts.error = str(problem)
    container.facts.exit_code = _EXIT_CODES.get(getattr(problem, "code", ""), _CANNOT_START)
    container.facts.finished_ns = time.time_ns()
    exits.release(world, container)
    # Whoever follows the log for this start must not wait for another: the mark is a new one.
    mark_ended(f"{world.folder(container)}/log")
    container.facts.is_wanted = False
    world.set_phase(container, "exited" if container.facts.started_ns else "created")


def _launch(world: World, container: Container, done: Done) -> None:
    with ExitStack() as undo:
        spec = container.spec
        owner = _owner(world, container, "networking", _network_of(spec))
        ipc_owner = _owner(world, container, "ipc_mode", spec.ipc_mode)
        pid_owner = _owner(world, container, "pid_mode", spec.pid_mode)
        world.networks.acquire(container, hostname_of(container), owner, others=world.containers.values())
        fault_point("start: addresses and ports held")
        _mount_volumes(world, container)
        cgroup = world.cgroups.create(world.paths.engine_id, container.id)
        container.facts.oom_kills_before = world.cgroups.oom_kills(world.paths.engine_id, container.id)
        container.told = tuple(world.cgroups.apply_limits(cgroup, spec.limits))
        world.cgroups.apply_devices(cgroup, rules_for(spec.devices, spec.device_rules), spec.privileged)
        fault_point("start: cgroup made")
        report = spawn.Report.open()
        undo.callback(report.close)
        undo.callback(world.kept.drop, f"{container.id}/report")
        child_ends = ExitStack()
        undo.push(child_ends)
        child_ends.callback(report.close_child_ends)
        container.logs = world.open_log(container)
        descriptors = _standard_descriptors(world, container, child_ends)
        joins = world.cgroups.join_fds(cgroup)
        for fd in joins.fds:
            child_ends.callback(os.close, fd)
        process = process_plan(
            spec,
            argv=spec.argv,
            env=container_env(spec, hostname_of(container)),
            user=spec.user,
            working_dir=spec.working_dir,
            has_terminal=spec.tty,
            is_privileged=spec.privileged,
            descriptors=descriptors,
            error_fd=report.error_write,
            channel_fd=report.child_channel_fd,
            cgroup_join_fds=joins.write_fds,
            init_fd=world.init_program() if spec.init else -1,
        )
        plan = init_plan(
            container,
            process,
            folder=world.folder(container),
            volumes=world.volumes,
            api_socket=world.paths.api_socket,
            cgroup_binds=world.cgroups.binds(cgroup),
            cgroup_is_v2=world.cgroups.is_v2,
            network_pidfd=owner.pidfd if owner is not None else -1,
            ipc_pidfd=ipc_owner.pidfd if ipc_owner is not None else -1,
        )
        fault_point("start: output kept")
        _bring_up(world, container, plan, joins.birth_fd, report, pid_owner)
        child_ends.close()
        container.look_at_start = spawn.when_started(
            world.loop, report, lambda data: _finish(world, container, report, data, done)
        )
        undo.pop_all()


def _mount_volumes(world: World, container: Container) -> None:
    for mount in container.spec.mounts:
        volume = world.volumes.find(mount.volume) if isinstance(mount, VolumeMount) else None
        if volume is None:
            continue
        try:
            world.volumes.mount(volume)
        except OSError as error:
            message = f"container {container.name}: volume {volume.spec.name} cannot be mounted: {error.strerror}"
            raise ContainerError(message, code="volume-mount", field=f"mounts.{mount.target}") from error


def _bring_up(
    world: World,
    container: Container,
    plan: InitPlan,
    birth_fd: int,
    report: spawn.Report,
    pid_owner: Container | None,
) -> None:
    try:
        with pids_of(pid_owner):
            _born(world, container, plan, birth_fd, report)
        fault_point("start: process recorded")
        world.networks.connect(container, container.facts.pid)
        fault_point("start: network connected")
        _release(world, container, report)
        fault_point("start: process released")
    except (OSError, EngineError):
        # A child that failed by itself is not there to be wired: the reason is what it says.
        if data := report.said():
            raise _failure(container, data) from None
        raise


def _standard_descriptors(world: World, container: Container, child_ends: ExitStack) -> tuple[int, int, int]:
    assert container.logs is not None
    if container.spec.tty or container.spec.stdin_open:
        world.holder.need(container.id)
    if container.spec.tty:
        return -1, -1, -1
    ends = []
    for stream in (STDOUT, STDERR):
        read_end, write_end = _pipe()
        child_ends.callback(os.close, write_end)
        container.facts.output[str(stream)] = os.fstat(read_end).st_ino
        kept = f"{container.id}/{stream}"
        container.logs.add(read_end, stream, partial(world.kept.drop, kept))
        world.kept.keep(kept, read_end)
        ends.append(write_end)
    if not container.spec.stdin_open:
        return -1, ends[0], ends[1]
    stdin, container.stdin_fd = os.pipe2(os.O_CLOEXEC)
    child_ends.callback(os.close, stdin)
    world.kept.keep(f"{container.id}/stdin", container.stdin_fd)
    return stdin, ends[0], ends[1]


def _pipe() -> tuple[int, int]:
    """Return read end and write end of a pipe for output. The container's end can read, too.

    So its writers never find it closed, and what it holds is not lost, when nobody of ours is left: a later
    supervisor opens the same pipe through /proc.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    _enlarge(write_end)
    try:
        return read_end, os.open(f"/proc/self/fd/{write_end}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)


def _enlarge(pipe: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, PIPE_BYTES)
    except PermissionError:  # over the user's soft limit: the default size works, slower
        return


def _network_of(spec: ContainerSpec) -> str:
    return f"container:{spec.networking.container}" if isinstance(spec.networking, ShareNetwork) else ""


def _owner(world: World, container: Container, field: str, mode: str) -> Container | None:
    """Return the container whose namespace is shared, None where ``mode`` names none. Raises NotFound, Conflict."""
    kind, _, name = mode.partition(":")
    if kind != "container":
        return None
    owner = world.find(name)
    if not owner.is_running:
        raise Conflict(
            f"container {container.name} shares a namespace of {owner.name}, which does not run",
            code="namespace-owner-not-running",
            field=field,
        )
    return owner


def _born(world: World, container: Container, plan: InitPlan, birth_fd: int, report: spawn.Report) -> None:
    spec = container.spec
    flags = libc.CLONE_NEWNS
    flags |= 0 if spec.uts_mode == "host" else libc.CLONE_NEWUTS
    flags |= libc.CLONE_NEWPID if not spec.pid_mode else 0
    flags |= libc.CLONE_NEWIPC if not spec.ipc_mode else 0
    flags |= 0 if isinstance(spec.networking, HostNetwork | ShareNetwork) else libc.CLONE_NEWNET
    world.kept.keep(f"{container.id}/report", report.error_read)
    born = clone(flags, is_sibling=True, cgroup_fd=birth_fd)
    if born.pid == 0:
        report.close_in_child()
        child.run(plan)
    fault_point("start: process born")
    container.pidfd = born.pidfd
    # Order: watched from birth, as whatever fails from here on ends with its exit.
    exits.watch(world, container)
    facts = container.facts
    facts.error, facts.oom_killed = "", False
    facts.pid, facts.identity, facts.start_ticks = born.pid, world.identity(born.pidfd), start_ticks(born.pid)
    world.save(container)


def _release(world: World, container: Container, report: spawn.Report) -> None:
    """Let the child go on; one with a terminal once that is kept, or it would be hung up on with our death."""
    if not container.spec.tty or report.channel is None:
        report.release()
        return
    channel = report.channel.fileno()

    def take() -> None:
        world.loop.unregister(channel)
        master = report.take_terminal()
        if master >= 0:
            container.terminal_fd = master
            world.kept.keep(f"{container.id}/terminal", master)
            report.release()

    world.loop.register(channel, take)


def _finish(world: World, container: Container, report: spawn.Report, data: bytes, done: Done) -> None:
    container.look_at_start = None
    world.kept.drop(f"{container.id}/report")
    if report.channel is not None:
        world.loop.unregister(report.channel.fileno())
    report.close()
    if data:
        # The child exits by itself now; what it held is released with its exit.
        problem = _failure(container, data)
        container.failed_start = lambda: _fail(world, container, problem, done)
        return
    if container.terminal_fd >= 0 and container.logs is not None:
        container.logs.add(os.dup(container.terminal_fd), STDOUT)
    # Until here the code of the run before is told: that of one that is restarting.
    container.facts.exit_code = None
    container.facts.started_ns = time.time_ns()
    world.set_phase(container, "running")
    fault_point("start: running")
    _tell_of_start(world, container)
    health.begin(world, container)
    world.networks.publish(container)
    fault_point("start: published")
    done(None)


def _tell_of_start(world: World, container: Container) -> None:
    for name in container.facts.addresses:
        network = world.networks.find(name)
        if network is not None:
            world.events.tell_network(network, "connect", container)
    world.events.tell_container(container, "start")


def _failure(container: Container, report: bytes) -> ContainerError:
    return spawn.failure(report, f"container {container.name} cannot be started", container.spec.argv[0])


def _fail(world: World, container: Container, problem: Exception, done: Done) -> None:
    container.failed_start = None
    _give_up(world, container, problem)
    done(problem)
