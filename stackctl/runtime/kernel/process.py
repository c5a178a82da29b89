"""Processes: clone3, pidfds, and what a dead process left behind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
from functools import lru_cache
from typing import Final, NamedTuple

from stackctl.runtime.kernel.libc import NR_CLONE3

CLONE_PARENT: Final = 0x8000
_CLONE_PIDFD: Final = 0x1000
_CLONE_INTO_CGROUP: Final = 0x200000000
_PIDFD_GET_INFO: Final = 0xC040FF0B  # _IOWR(0xFF, 11, 64 bytes)
_INFO_EXIT: Final = 8
_KILL_ROUNDS: Final = 3

# PyDLL keeps the interpreter lock over the call, as fork needs.
_pylibc: Final = ctypes.PyDLL(None, use_errno=True)
_pylibc.syscall.restype = ctypes.c_long


class Child(NamedTuple):
    """What clone gave: in the child ``pid`` is 0 and ``pidfd`` -1."""

    pid: int
    pidfd: int


def clone(flags: int, *, is_sibling: bool = False, cgroup_fd: int = -1) -> Child:
    """Make a process by clone3(2), as fork does, in the namespaces of ``flags``.

    With ``is_sibling`` its parent is our parent, which alone gets SIGCHLD and reaps it. ``cgroup_fd`` is a
    cgroup2 directory the child is born in. The caller has one thread. Raises OSError.
    """
    pidfd = ctypes.c_int(-1)
    flags |= _CLONE_PIDFD | (CLONE_PARENT if is_sibling else 0)
    flags |= _CLONE_INTO_CGROUP if cgroup_fd >= 0 else 0
    # clone3 wants no exit signal together with CLONE_PARENT: the child gets ours, SIGCHLD.
    exit_signal = 0 if is_sibling else signal.SIGCHLD
    arguments = (ctypes.c_uint64 * 11)(
        flags, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup_fd, 0)
    )
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _pylibc.syscall(ctypes.c_long(NR_CLONE3), ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments)))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return Child(0, -1)
    number = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number), "clone3")
    return Child(pid, pidfd.value)


def identity(pidfd: int, *, by_inode: bool = True) -> int:
    """Return a number no other process of this boot has: the pidfd's inode (Linux 6.9), else its start time.

    Without ``by_inode`` it is the start time, on any kernel; so it must be asked for in the same way each time.
    """
    return os.fstat(pidfd).st_ino if by_inode and _inodes_identify() else start_ticks(pid_of(pidfd))


@lru_cache(maxsize=1)
def _inodes_identify() -> bool:
    # Before pidfs all pidfds share one anonymous inode.
    mine, parents = os.pidfd_open(os.getpid()), os.pidfd_open(os.getppid() or 1)
    try:
        return os.fstat(mine).st_ino != os.fstat(parents).st_ino
    finally:
        os.close(mine)
        os.close(parents)


def pid_of(pidfd: int) -> int:
    """Return the process id behind a pidfd, -1 once it was reaped."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                return int(line[4:])
    return -1


def start_ticks(pid: int) -> int:
    """Return field 22 of /proc/PID/stat: start time in clock ticks since boot. Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def exit_status(pidfd: int) -> int | None:
    """Return the wait status of a dead process, None while it was not reaped or before Linux 6.15.

    The descriptor must have been opened before the process was reaped.
    """
    buffer = bytearray(64)
    struct.pack_into("Q", buffer, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer, True)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENOTTY, errno.EINVAL):
            return None
        raise
    mask: int = struct.unpack_from("Q", buffer)[0]
    status: int = struct.unpack_from("i", buffer, 60)[0]
    return status if mask & _INFO_EXIT else None


def exit_code(status: int) -> int:
    """Turn a wait status into the code a shell shows: 128 + signal for a killed process."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def is_dead(pidfd: int) -> bool:
    """Say whether the process has ended, reaped or not."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal; False when the process is gone already."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def kill_tree(pid: int, pidfd: int) -> None:
    """SIGKILL to a process that leads a session, to all of that session, and to all that descend from those.

    The caller has not reaped it yet. What left both the session and its parents before is not found.
    """
    # Order: all are found before the first is killed, as orphans get a new parent. Then again: they may have forked.
    members = _tree(pid)
    send_signal(pidfd, signal.SIGKILL)
    for _ in range(_KILL_ROUNDS):
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        members = _tree(pid)


def _tree(leader: int) -> set[int]:
    parents, found = {}, set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(name)
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] == b"Z":
                continue
            parents[pid] = int(fields[1])
            if int(fields[3]) == leader:
                found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return found - {leader}


def signal_number(name: str) -> int:
    """Return the number of ``SIGTERM``, ``TERM``, ``15`` or ``RTMIN+3``. Raises ValueError."""
    text = name.upper().removeprefix("SIG")
    if text.isdigit() and 0 < int(text) <= signal.SIGRTMAX:
        return int(text)
    base, plus, offset = text.partition("+")
    number = getattr(signal, "SIG" + base, None)
    if not isinstance(number, signal.Signals):
        raise ValueError(f"invalid signal: {name}")
    return int(number) + (int(offset) if plus else 0)
