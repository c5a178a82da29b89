"""The daemon's part in keeping the keeper: when keeper and supervisor died together, it starts a keeper.

A keeper that dies alone is followed by its supervisor, which becomes one. The daemon holds lock and kept
descriptors too, so that terminals and pipes outlive the death of both.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from typing import Final

from stackctl.runtime.kernel.process import is_dead
from stackctl.runtime.paths import EnginePaths

_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 1.0
_LOCK, _KEPT_A, _KEPT_B = range(3)


def watch(paths: EnginePaths, keeper: int, fds: tuple[int, ...]) -> None:
    """Watch, in a thread, that there is a keeper. ``fds``: engine lock and both ends of the kept queue."""
    for fd in fds:
        os.set_inheritable(fd, False)
    threading.Thread(target=_watch, args=(paths, keeper, fds), name="keeper", daemon=True).start()


def _watch(paths: EnginePaths, keeper: int, fds: tuple[int, ...]) -> None:
    while True:
        _wait_for_end(keeper)
        if os.path.exists(f"{paths.run}/stopping"):
            return
        keeper = _successor_of(keeper, paths, fds)


def _wait_for_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.poll()
        os.close(pidfd)
    with contextlib.suppress(ChildProcessError):  # one that we started
        os.waitpid(pid, 0)


def _successor_of(keeper: int, paths: EnginePaths, fds: tuple[int, ...]) -> int:
    """Return the process id of the next keeper: what the supervisor became, else one that we start."""
    pause_s = _FIRST_PAUSE_S
    while True:
        pids = _processes(paths)
        if pids.get("keeper", keeper) != keeper:
            return pids["keeper"]
        if not _lives(pids.get("supervisor", 0)):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return _start(paths, fds)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _processes(paths: EnginePaths) -> dict[str, int]:
    try:
        with open(paths.processes, "rb") as file:
            found: dict[str, int] = json.load(file)
            return found
    except (OSError, ValueError):
        return {}


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not is_dead(pidfd)
    finally:
        os.close(pidfd)


def _start(paths: EnginePaths, fds: tuple[int, ...]) -> int:
    with open(paths.spawn, "rb") as file:
        argv = json.load(file)["keeper"]
    arguments = [str(fds[_LOCK]), "-1", str(fds[_KEPT_A]), str(fds[_KEPT_B]), str(os.getpid())]
    # A descriptor duplicated onto itself stays open in the child alone: no other thread's child gets it.
    kept = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds]
    return os.posix_spawn(argv[0], [*argv, *arguments], os.environ, file_actions=kept, setsid=True, setsigmask=())
