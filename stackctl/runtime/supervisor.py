"""The supervisor: the hands. One thread, one loop; starts, watches, stops, and answers the daemon.

Killed at any moment, the next one finds every container by its row, its pidfd and the keeper's journal.
Run as ``supervisor ROOT ENGINE_ID LOCK_FD KEPT_A KEPT_B KEEPER_PID``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Final

from stackctl.errors import EngineError
from stackctl.runtime import adopt, connections, faults, spawn
from stackctl.runtime.holder import Holder
from stackctl.runtime.journal import Journal
from stackctl.runtime.kept import KeptDescriptors
from stackctl.runtime.kernel import capabilities, cgroup, features, interpreter, libc, tiny_init
from stackctl.runtime.life import Lives
from stackctl.runtime.loop import Loop
from stackctl.runtime.networks import Networks
from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.stamps import Stamps
from stackctl.runtime.state import StateStore
from stackctl.runtime.supervisor_requests import OPERATIONS, Message
from stackctl.runtime.verbs.remove import empty_folder
from stackctl.runtime.volumes import VolumeStore
from stackctl.runtime.world import World

_NAME: Final = b"stackctl-super\0"


def boot_id() -> str:
    """Return the kernel's id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def build_world(paths: EnginePaths, kept_ends: tuple[int, int]) -> World:
    """Open everything the supervisor owns. Raises OSError, EngineError."""
    without = features.parse_without(os.environ.get("STACKCTL_WITHOUT", ""))
    capabilities.read_kernel_limits()
    loop = Loop()
    helpers: set[int] = set()
    stamps = Stamps(paths)
    return World(
        paths=paths,
        loop=loop,
        store=StateStore(paths.database, boot_id()),
        lives=Lives(paths, boot_id()),
        journal=Journal(paths.journal),
        kept=KeptDescriptors(*kept_ends),
        holder=Holder(paths, kept_ends, loop, helpers),
        helpers=helpers,
        cgroups=cgroup.open_driver(without),
        networks=Networks(paths, loop, helpers, stamps.spoil_all),
        volumes=VolumeStore(paths),
        stamps=stamps,
        init_program=tiny_init.program_fd,
        without=without,
    )


def main(arguments: list[str]) -> None:
    """Be the supervisor of the engine named by ``arguments``."""
    _seal_interpreter()
    paths = EnginePaths(arguments[0], arguments[1])
    faults.arm(os.environ.get("STACKCTL_FAULT", ""))
    lock, kept_a, kept_b = (int(text) for text in arguments[2:5])
    for fd in (lock, kept_a, kept_b):
        os.set_inheritable(fd, False)
    world = build_world(paths, (kept_a, kept_b))
    adopt.adopt_all(world, boot_id())
    listener = connections.listen(paths.supervisor_socket, world.loop, _handler(world))
    _watch_keeper(world, int(arguments[5]), (lock, kept_a, kept_b))
    _watch_signals(world)
    spawn.calm_collector()
    world.loop.run()
    listener.close()
    _close(world)


def _seal_interpreter() -> None:
    if interpreter.is_sealed():
        return
    copy = interpreter.sealed_copy("/proc/self/exe")
    if copy >= 0:
        # The name stays the real one: Python finds its library by it.
        os.execve(copy, sys.orig_argv, os.environ)


def _handler(world: World) -> connections.Handler:
    def handle(message: Message, fds: tuple[int, ...], reply: connections.Reply) -> None:
        operation = OPERATIONS.get(message.get("op", ""))
        if operation is None:
            raise EngineError(f"unknown operation {message.get('op')!r}", code="protocol")
        operation(world, message, fds, reply)

    return handle


def _watch_signals(world: World) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def on_signal() -> None:
        numbers = os.read(read_end, 64)
        if signal.SIGTERM in numbers:
            world.loop.stop()
        _reap_helpers(world)

    world.loop.register(read_end, on_signal)


def _reap_helpers(world: World) -> None:
    for pid in list(world.helpers):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        world.helpers.discard(pid)


def _watch_keeper(world: World, keeper: int, fds: tuple[int, int, int]) -> None:
    pidfd = os.pidfd_open(os.getppid())
    world.loop.register(pidfd, lambda: _become_keeper(world, fds))
    if os.getppid() != keeper:  # it died before we could watch it
        _become_keeper(world, fds)


def _become_keeper(world: World, fds: tuple[int, int, int]) -> None:
    # The keeper is dead; its place must be taken by who is already the parent of nothing it must not lose:
    # our pid, our children and our descriptors survive exec. Containers live on as children of init; their
    # codes come from their pidfds.
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    # Stamps name our pid, which lives on: they must not outlive our watching.
    world.stamps.spoil_all()
    with open(world.paths.spawn, "rb") as file:
        argv = json.load(file)["keeper"]
    with contextlib.suppress(OSError, ValueError, KeyError), open(world.paths.processes, "rb") as file:
        daemon = str(json.load(file)["daemon"])
        argv = [*argv, str(fds[0]), "-1", str(fds[1]), str(fds[2]), daemon]
    world.store.close()
    for fd in fds:
        os.set_inheritable(fd, True)
    os.execv(argv[0], argv)


def _close(world: World) -> None:
    """Leave in good order: nothing of ours stays in the kernel unless containers still need it."""
    if not any(container.is_running for container in world.containers.values()):
        world.networks.close_down()
        world.cgroups.remove_engine(world.paths.engine_id)
        empty_folder(world.paths.trash)
    world.holder.record()
    world.store.close()
    world.kept.close()


if __name__ == "__main__":
    main(sys.argv[1:])
