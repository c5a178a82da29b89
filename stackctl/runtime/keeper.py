"""The keeper: parent of everything, memory of every exit. No logic, never needs a restart.

It is the child subreaper; it respawns supervisor and daemon; every other dead child it writes to the exit
journal *before* reaping it, so that no exit code is lost whoever else is alive. It holds both ends of one
socket pair and never reads: descriptors that the supervisor puts in there survive the supervisor. Lock and socket pair
are handed to both, so that either can bring a keeper back (see ``successor.py`` and ``supervisor.py``).

Run as ``keeper.py ROOT ENGINE_ID LOCK_FD READY_FD KEPT_A KEPT_B [DAEMON_PID]``; -1 for a descriptor to make.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_ROLES: Final = ("supervisor", "daemon")
_BACK_OFF_S: Final = (0.0, 0.05, 0.1, 0.2, 0.5)
_LOCK_TEXT: Final = 100
_CALM_S: Final = 1.0


class Keeper:
    """Spawns, waits, writes."""

    def __init__(self, root: str, run: str, inherited: dict[str, int]) -> None:
        self.root, self.run, self.inherited = root, run, inherited
        self.pids: dict[str, int] = {}
        self.adopted: dict[str, int] = {}  # role -> pidfd of a process that is not our child
        self.failures = dict.fromkeys(_ROLES, 0)
        self.due = dict.fromkeys(_ROLES, 0.0)
        self.started = dict.fromkeys(_ROLES, 0.0)
        self.journal = self._open_journal()

    def _open_journal(self) -> int:
        return os.open(f"{self.run}/exits", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def adopt(self, role: str, pid: int) -> None:
        """Go on with a process that an earlier keeper spawned."""
        try:
            self.adopted[role] = os.pidfd_open(pid)
            self.pids[role] = pid
        except ProcessLookupError:
            return

    def spawn_due(self) -> None:
        """Start what is not running and whose time has come."""
        for role in _ROLES:
            if role not in self.pids and self.due[role] <= time.monotonic():
                self.started[role] = time.monotonic()
                try:
                    self._spawn(role)
                except (OSError, ValueError, KeyError) as error:  # no memory, no more processes, no spawn.json
                    print(f"keeper: {role} cannot be started: {error}", file=sys.stderr, flush=True)
                    self.note_failure(role)
        self.write_pids()

    def _spawn(self, role: str) -> None:
        with open(f"{self.root}/spawn.json", "rb") as file:
            argv = json.load(file)[role]
        fds = [str(self.inherited[name]) for name in ("lock", "kept_a", "kept_b")]
        for fd in self.inherited.values():
            os.set_inheritable(fd, True)
        command = [*argv, *fds, str(os.getpid())]
        self.pids[role] = os.posix_spawn(argv[0], command, os.environ, setsigmask=())

    def write_pids(self) -> None:
        """Tell the world who we are."""
        try:
            with open(f"{self.run}/processes.tmp", "w", encoding="ascii") as file:
                json.dump({"keeper": os.getpid(), **self.pids}, file)
            os.rename(f"{self.run}/processes.tmp", f"{self.run}/processes.json")
        except OSError as error:
            print(f"keeper: {error}", file=sys.stderr, flush=True)

    def reap(self) -> None:
        """Record, then reap, every dead child."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            ticks = _start_ticks(found.si_pid)
            status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
            try:
                if not os.fstat(self.journal).st_nlink:  # deleted: the next supervisor reads the one that is there
                    self.journal = self._open_journal()
                os.write(self.journal, b"%d %d %d %d\n" % (found.si_pid, ticks, status, time.time_ns()))
            except OSError as error:  # a full /run: the kernel still tells the code to who holds a pidfd
                print(f"keeper: exits: {error}", file=sys.stderr, flush=True)
            os.waitpid(found.si_pid, 0)
            self.note_death(found.si_pid)

    def note_death(self, pid: int) -> None:
        """Plan a respawn when it was one of our two."""
        for role in [role for role, known in self.pids.items() if known == pid]:
            del self.pids[role]
            self.note_failure(role)

    def note_failure(self, role: str) -> None:
        """Plan the next start of one of the two, the later the more often it failed."""
        calm = time.monotonic() - self.started[role] > _CALM_S
        self.failures[role] = 0 if calm else self.failures[role] + 1
        self.due[role] = time.monotonic() + _BACK_OFF_S[min(self.failures[role], 4)]

    def run_forever(self, wake: int) -> None:
        """Work until the engine is stopped: until the file ``stopping`` exists and both are gone."""
        while True:
            self.reap()
            if os.path.exists(f"{self.run}/stopping"):
                if not self.pids:
                    return
            else:
                self.spawn_due()
            waits = [self.due[role] - time.monotonic() for role in _ROLES if role not in self.pids]
            poller = select.poll()
            for fd in (wake, *self.adopted.values()):
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(max(1, 1000 * min(waits)) if waits else None):
                self._on_ready(fd, wake)

    def _on_ready(self, fd: int, wake: int) -> None:
        if fd == wake:
            os.read(wake, 4096)
            return
        for role in [role for role, known in self.adopted.items() if known == fd]:
            os.close(self.adopted.pop(role))
            self.note_death(self.pids[role])


def _start_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def _end_holders(run: str) -> None:
    """Nothing is kept any more: end what holds it for us; see ``holder.py``."""
    try:
        with open(f"{run}/holders.json", "rb") as file:
            for pid, ticks in json.load(file):
                if _start_ticks(pid) == ticks:
                    os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):  # as a rule the supervisor has ended the last one
        return


def main(arguments: list[str]) -> None:
    """Be the keeper of the engine named by ``arguments``."""
    root, run = arguments[0], f"/run/stackctl/{arguments[1]}"
    lock, ready, kept_a, kept_b = (int(text) for text in arguments[2:6])
    # For whom a second engine on this root is refused; the kernel only knows who took the lock before us.
    os.pwrite(lock, f"{os.getpid()} on {os.uname().nodename}".ljust(_LOCK_TEXT).encode(), 0)
    if ready >= 0:
        os.set_inheritable(ready, False)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    if kept_a < 0:
        import socket  # only the first keeper of an engine needs it

        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept_a, kept_b = (end.detach() for end in pair)
    keeper = Keeper(root, run, {"lock": lock, "kept_a": kept_a, "kept_b": kept_b})
    for role, pid in zip(("daemon",), arguments[6:], strict=False):
        keeper.adopt(role, int(pid))
    keeper.spawn_due()
    if ready >= 0:
        os.write(ready, b"r")
        os.close(ready)
    keeper.run_forever(wake)
    _end_holders(run)
    for name in os.listdir(run):
        os.unlink(f"{run}/{name}")
    os.rmdir(run)


if __name__ == "__main__":
    main(sys.argv[1:])
