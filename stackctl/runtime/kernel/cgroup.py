"""Control groups, either version: one group a container, all below ``stackctl-ENGINE``.

Version 1 is used where it has the controllers, also on a hybrid host; version 2 otherwise.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from stackctl.errors import EngineError
from stackctl.model.limits import Limits
from stackctl.runtime.kernel import features
from stackctl.runtime.kernel.devices import DeviceRule

_MOUNTINFO: Final = "/proc/self/mountinfo"
_WANTED_V1: Final = ("cpu", "memory", "pids", "devices")
_REMOVE_TRIES: Final = 40
_REMOVE_PAUSE_S: Final = 0.005
_FREEZE_TRIES: Final = 500
_FREEZE_PAUSE_S: Final = 0.002


class Joins(NamedTuple):
    """How a process gets into a group: files to write "0" to (version 1), or a folder to be born in (2)."""

    write_fds: tuple[int, ...] = ()
    birth_fd: int = -1

    @property
    def fds(self) -> tuple[int, ...]:
        """Every descriptor, to be closed by who asked."""
        return (*self.write_fds, self.birth_fd) if self.birth_fd >= 0 else self.write_fds


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where cgroups are mounted: version 1 controllers by name, and version 2 ("" for none)."""

    v1: dict[str, str]
    v2: str

    @property
    def is_v2(self) -> bool:
        """Whether version 2 has the controllers."""
        return not any(name in self.v1 for name in _WANTED_V1)


class Usage(NamedTuple):
    """What a group has used: processor time (-1 where it is not counted) and what it holds now.

    ``inactive_bytes`` is that part of the memory that is only a cache; a limit of 0 is none.
    """

    cpu_ns: int
    user_ns: int
    system_ns: int
    memory_bytes: int
    inactive_bytes: int
    memory_limit_bytes: int
    pids: int
    pids_limit: int
    read_bytes: int
    written_bytes: int


class CgroupDriver(Protocol):
    """What the runtime asks of cgroups; groups are named by engine and container id."""

    is_v2: bool

    def create(self, engine_id: str, container_id: str) -> str: ...
    def find(self, engine_id: str, container_id: str) -> str: ...
    def apply_limits(self, group: str, limits: Limits) -> list[str]: ...
    def apply_devices(self, group: str, rules: Iterable[DeviceRule], is_privileged: bool) -> None: ...
    def join_fds(self, group: str) -> Joins: ...
    def binds(self, group: str) -> tuple[tuple[bytes, bytes], ...]: ...
    def kill_all(self, engine_id: str, container_id: str) -> None: ...
    def freeze(self, engine_id: str, container_id: str) -> None: ...
    def thaw(self, engine_id: str, container_id: str) -> None: ...
    def oom_kills(self, engine_id: str, container_id: str) -> int: ...
    def remove(self, engine_id: str, container_id: str) -> None: ...
    def sweep(self, engine_id: str, *, keep: set[str]) -> None: ...
    def remove_engine(self, engine_id: str) -> None: ...
    def notices(self) -> list[str]: ...
    def usage(self, engine_id: str, container_id: str) -> Usage: ...


# What asks for a limit, by the file that sets it: version 2, then version 1.
LIMIT_FIELDS: Final = {
    "cpu.max": "limits.cpus",
    "cpu.weight": "limits.cpu_shares",
    "memory.max": "limits.memory",
    "memory.swap.max": "limits.memory and swap",
    "memory.low": "limits.memory reservation",
    "pids.max": "limits.pids",
    "cpuset.cpus": "limits.cpuset",
    "cpu.cfs_period_us": "limits.cpus",
    "cpu.cfs_quota_us": "limits.cpus",
    "cpu.shares": "limits.cpu_shares",
    "memory.limit_in_bytes": "limits.memory",
    "memory.memsw.limit_in_bytes": "limits.memory and swap",
    "memory.soft_limit_in_bytes": "limits.memory reservation",
    "memory.swappiness": "limits.swappiness",
    "memory.oom_control": "limits.oom_kill_disable",
    "cpuset.mems": "limits.cpuset",
    "cpu.rt_period_us": "limits.real-time budget",
    "cpu.rt_runtime_us": "limits.real-time budget",
    "io.max": "limits.blkio",
    "io.weight": "limits.blkio",
    "io.bfq.weight": "limits.blkio",
    "blkio.throttle.read_bps_device": "limits.blkio",
    "blkio.throttle.write_bps_device": "limits.blkio",
    "blkio.throttle.read_iops_device": "limits.blkio",
    "blkio.throttle.write_iops_device": "limits.blkio",
}


def open_driver(without: frozenset[str] = frozenset()) -> CgroupDriver:
    """Return the driver for this machine. Raises EngineError where there are no cgroups at all.

    ``without`` names features (see ``kernel.features``) to be taken as missing.
    """
    from stackctl.runtime.kernel import cgroup_v1, cgroup_v2  # only one of the two is needed

    with open(_MOUNTINFO, encoding="utf-8", errors="replace") as file:
        found = parse_mounts(file.read())
    if not found.is_v2:
        return cgroup_v1.V1Driver(found.v1)
    if found.v2:
        return cgroup_v2.V2Driver(found.v2, has_kill=features.CGROUP_KILL not in without)
    raise EngineError(
        "no cgroup file system is mounted", code="no-cgroups", hint="mount -t cgroup2 none /sys/fs/cgroup"
    )


def parse_mounts(mountinfo: str) -> Hierarchies:
    """Find cgroup mounts in the text of /proc/self/mountinfo. Source: proc_pid_mountinfo(5)."""
    v1: dict[str, str] = {}
    v2 = ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) < 5 or len(tail) < 3:
            continue
        path = fields[4].replace("\\040", " ")
        if tail[0] == "cgroup2":
            v2 = v2 or path
        elif tail[0] == "cgroup":
            for option in tail[2].split(","):
                if option in _WANTED_V1 or option in ("cpuset", "cpuacct", "freezer", "blkio"):
                    v1.setdefault(option, path)
    return Hierarchies(v1, v2)


def group_path(engine_id: str, container_id: str = "") -> str:
    """Return the group's path below a hierarchy's mount point."""
    top = f"stackctl-{engine_id}"
    return f"{top}/{container_id}" if container_id else top


def write(path: str, text: str) -> None:
    """Write one value to a control file in one write. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_each(path: str, values: Iterable[str]) -> None:
    """Write several values to a control file, each in one write. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for value in values:
            os.write(fd, value.encode())
    finally:
        os.close(fd)


def read(path: str) -> str:
    """Read a control file; "" when it is not there."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def read_number(path: str, default: int = 0) -> int:
    """Return the number in a control file; ``default`` for none, or ``max``."""
    text = read(path).strip()
    return int(text) if text.isdecimal() else default


def read_counts(path: str) -> dict[str, int]:
    """Return the lines ``name number`` of a control file."""
    found = (line.split() for line in read(path).splitlines())
    return {words[0]: int(words[1]) for words in found if len(words) == 2 and words[1].isdecimal()}


def pids(folder: str) -> list[int]:
    """Return the processes of one group, without those of groups below."""
    return [int(word) for word in read(f"{folder}/cgroup.procs").split()]


def remove_folder(folder: str) -> None:
    """Remove a group. The last process may still be on its way out: try again for a moment. Raises OSError."""
    for attempt in range(_REMOVE_TRIES):
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            if attempt == _REMOVE_TRIES - 1:
                raise
            for below in _folders(folder):
                with contextlib.suppress(OSError):
                    remove_folder(f"{folder}/{below}")
            time.sleep(_REMOVE_PAUSE_S)


def _folders(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    return []


def await_text(path: str, text: str) -> bool:
    """Wait, for a moment, until the control file holds ``text``; say whether it does."""
    for _ in range(_FREEZE_TRIES):
        if text in read(path):
            return True
        time.sleep(_FREEZE_PAUSE_S)
    return False


def groups_below(folder: str) -> list[str]:
    """Return the names of the groups directly below one."""
    return _folders(folder)
