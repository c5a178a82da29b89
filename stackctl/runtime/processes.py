"""The processes of a container, as the host sees them. Source: proc_pid_stat(5)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. ``tty`` is "?" without a terminal."""

    uid: int
    pid: int
    parent_pid: int
    started_s: float
    cpu_s: float
    tty: str
    command: str


def processes_of(container_id: str) -> list[Process]:
    """Return the processes in the container's control group, the oldest first."""
    booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = [process for pid in _pids_of(container_id) if (process := _read(pid, booted_s)) is not None]
    return sorted(found, key=lambda process: (process.started_s, process.pid))


def cpu_ns_of(container_id: str) -> tuple[int, int]:
    """Return the time that the container's processes, and those they waited for, spent outside the kernel and in it."""
    user = system = 0
    for pid in _pids_of(container_id):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b") ")[2].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return user * 1_000_000_000 // _TICKS, system * 1_000_000_000 // _TICKS


def _pids_of(container_id: str) -> Iterator[int]:
    # The group's path has the id, in either version of cgroups, and so have the groups below it.
    mark = f"/{container_id}".encode()
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/cgroup", "rb") as file:
                is_inside = mark in file.read()
        except OSError:
            continue
        if is_inside:
            yield int(name)


def _read(pid: int, booted_s: float) -> Process | None:
    """Return one process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            before, _, after = file.read().rpartition(b") ")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ")
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    fields = after.split()
    user_ticks, system_ticks, start_ticks = int(fields[11]), int(fields[12]), int(fields[19])
    command = words or b"[" + before.partition(b"(")[2] + b"]"
    return Process(
        uid=uid,
        pid=pid,
        parent_pid=int(fields[1]),
        started_s=booted_s + start_ticks / _TICKS,
        cpu_s=(user_ticks + system_ticks) / _TICKS,
        tty=_terminal(int(fields[4])),
        command=command.decode("utf-8", "replace"),
    )


def _terminal(number: int) -> str:
    """Return the name of a terminal by its device number."""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"
