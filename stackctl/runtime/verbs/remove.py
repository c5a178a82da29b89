"""remove: the container's name is free at once; its files are unlinked later, in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from stackctl.errors import Conflict
from stackctl.runtime.faults import fault_point
from stackctl.runtime.record import Container
from stackctl.runtime.world import World

_EMPTY_AFTER_S = 0.3
_MOST_DESCRIPTORS = 1 << 20


def remove(world: World, container: Container) -> None:
    """Remove a container that does not run. Raises Conflict when it does."""
    if container.is_running or container.phase in ("starting", "restarting"):
        raise Conflict(f"container {container.name} is running: stop it before removing it", code="container-running")
    # Order: the row says "removing" first; whoever finds it so later goes on here.
    container.phase = "removing"
    world.save(container)
    fault_point("remove: row written")
    world.networks.release(container)
    world.cgroups.remove(world.paths.engine_id, container.id)
    fault_point("remove: addresses and cgroup given back")
    discard_folder(world, container)
    fault_point("remove: folder in the trash")
    world.store.delete(container.id)
    fault_point("remove: row deleted")
    world.forget(container)
    world.events.tell_container(container, "destroy")
    world.notify(container)


def discard_folder(world: World, container: Container) -> None:
    """Move a container's folder to the trash. Harmless when it has none."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(world.folder(container), f"{world.paths.trash}/{container.id}-{time.time_ns()}")
    empty_trash_soon(world)


def empty_trash_soon(world: World) -> None:
    """Have the trash emptied by a process of its own, once things calm down."""
    if world.trash_timer is None:
        world.trash_timer = world.loop.call_later(_EMPTY_AFTER_S, lambda: _empty_trash(world))


def _empty_trash(world: World) -> None:
    world.trash_timer = None
    try:
        pid = os.fork()
    except OSError:  # no room for a process: later
        empty_trash_soon(world)
        return
    if pid == 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 19)
            signal.set_wakeup_fd(-1)
            # Descriptors of ours that it held would outlive us with it: sockets, pipes, terminals.
            os.closerange(3, _MOST_DESCRIPTORS)
            empty_folder(world.paths.trash)
        finally:
            os._exit(0)
    world.helpers.add(pid)


def empty_folder(path: str) -> None:
    """Unlink everything below ``path``, never following a link (shutil.rmtree walks by descriptor)."""
    import shutil  # 6 ms and 2 MB: only in the process that deletes

    for name in os.listdir(path):
        full = f"{path}/{name}"
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(full)
