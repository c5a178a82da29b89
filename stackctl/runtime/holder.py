"""The last holder of the kept descriptors: a process without logic that outlives keeper, supervisor and daemon.

It has copies of both ends of the kept queue and never uses them. So terminals and stdin that were kept open stay open
when all three are killed at once, and the next engine takes the queue back from it. It lives while a container
has such a descriptor, and no longer than the engine.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Final, NamedTuple

from stackctl.runtime.kernel import libc, tiny_holder
from stackctl.runtime.kernel.process import send_signal, start_ticks
from stackctl.runtime.loop import Loop
from stackctl.runtime.paths import EnginePaths, write_atomically

_NR_PIDFD_GETFD: Final = 438


class Held(NamedTuple):
    """One holder: a process, and when it was started."""

    pid: int
    ticks: int

    def is_alive(self) -> bool:
        """Whether that process still is this holder."""
        try:
            return start_ticks(self.pid) == self.ticks and tiny_holder.is_one(self.pid)
        except OSError:
            return False

    def has(self, ends: tuple[int, int]) -> bool:
        """Whether it holds the queue whose ends are our descriptors ``ends``."""
        try:
            theirs = [os.readlink(f"/proc/{self.pid}/fd/{end}") for end in tiny_holder.ENDS]
            return theirs == [os.readlink(f"/proc/self/fd/{end}") for end in ends]
        except OSError:
            return False


class Holder:
    """Keeps a holder alive while a container needs one. For the supervisor."""

    def __init__(self, paths: EnginePaths, ends: tuple[int, int], loop: Loop, helpers: set[int]) -> None:
        self._paths, self._ends, self._loop, self._helpers = paths, ends, loop, helpers
        self._needed_by: set[str] = set()
        self._pidfd = -1
        living = read(paths)
        self._mine = next((held for held in living if held.has(ends)), None)
        self._others = [held for held in living if held is not self._mine]
        if self._mine is not None:
            self._watch(self._mine)

    def need(self, container_id: str) -> None:
        """See to it that there is a holder from now on. Raises OSError."""
        if self._mine is None:
            self._begin()
        self._needed_by.add(container_id)

    def release(self, container_id: str) -> None:
        """The container needs it no more."""
        if container_id in self._needed_by:
            self._needed_by.discard(container_id)
            self.settle()

    def settle(self) -> None:
        """End it if no container needs it."""
        if self._mine is None or self._needed_by:
            return
        send_signal(self._pidfd, signal.SIGKILL)
        self._forget()
        self.record()

    def notices(self) -> list[str]:
        """What cannot be had back."""
        return [
            f"terminals of earlier containers stay open, but cannot be reached: process {held.pid} holds them, and its "
            "descriptors may not be taken (ptrace is restricted); restart those containers"
            for held in self._others
        ]

    def _begin(self) -> None:
        pid = tiny_holder.spawn(self._ends, self._paths.engine_id)
        if not pid:
            return
        self._helpers.add(pid)
        try:
            held = Held(pid, start_ticks(pid))
            self._watch(held)
            self.record()
        except OSError:
            os.kill(pid, signal.SIGKILL)
            self._forget()
            raise

    def _watch(self, held: Held) -> None:
        self._pidfd = os.pidfd_open(held.pid)
        self._mine = held
        self._loop.register(self._pidfd, self._died)

    def _died(self) -> None:
        """Somebody killed it: another takes its place."""
        self._forget()
        if self._needed_by:
            try:
                self._begin()
            except OSError as error:  # the next container that needs one tries again
                print(f"supervisor: no holder: {error}", file=sys.stderr, flush=True)

    def _forget(self) -> None:
        self._mine = None
        if self._pidfd >= 0:
            self._loop.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def record(self) -> None:
        """Write down who they are, for the next supervisor, or the next engine."""
        held = [*self._others, *([self._mine] if self._mine is not None else [])]
        if held:
            write_atomically(self._paths.holders, json.dumps(held).encode(), is_durable=False)
            return
        with suppress(FileNotFoundError):
            os.unlink(self._paths.holders)


def read(paths: EnginePaths) -> list[Held]:
    """Return the holders that live."""
    try:
        with open(paths.holders, "rb") as file:
            found = [Held(pid, ticks) for pid, ticks in json.load(file)]
    except (OSError, ValueError, TypeError):
        return []
    return [held for held in found if held.is_alive()]


def take_back(paths: EnginePaths) -> tuple[int, int] | None:
    """Return both ends of the queue that a killed engine has left, None when there is none, or it cannot be had."""
    for held in reversed(read(paths)):
        with suppress(OSError):
            pidfd = os.pidfd_open(held.pid)
            try:
                first, second = (libc.syscall(_NR_PIDFD_GETFD, pidfd, end, 0) for end in tiny_holder.ENDS)
                return first, second
            finally:
                os.close(pidfd)
    return None
