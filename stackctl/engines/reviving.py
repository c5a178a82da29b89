"""Bringing back an engine whose live part was deleted under it: its processes go on, but nobody can reach them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from stackctl.runtime.paths import EnginePaths

# What was started just now has perhaps not got as far as its socket.
_OLD_S: Final = 3.0
_ROLES: Final = ("supervisor.py", "stackctl.api.daemon")


def revive(paths: EnginePaths) -> bool:
    """Have the keeper start supervisor and daemon anew, which make their sockets again; containers do not notice.

    False, with nothing done, unless the engine's keeper lives and sees the same /run as we do. Raises OSError.
    """
    keeper = _keeper(paths)
    if not keeper:
        return False
    paths.make()
    found = [pid for pid in _children(keeper) if _is_of_engine(pid, paths)]
    if all(_age_s(pid) > _OLD_S for pid in found):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    return True


def _keeper(paths: EnginePaths) -> int:
    """Return the process that holds the engine's lock, as it has written there; 0 when it cannot be told."""
    try:
        with open(paths.engine_lock, encoding="ascii", errors="replace") as file:
            pid = file.read(100).partition(" ")[0]
    except OSError:
        return 0
    is_it = pid.isdecimal() and "keeper.py" in _command(int(pid)) and paths.root in _command(int(pid))
    return int(pid) if is_it and _sees_what_we_see(int(pid)) else 0


def _is_of_engine(pid: int, paths: EnginePaths) -> bool:
    words = _command(pid)
    return paths.root in words and any(role in words for role in _ROLES) and _sees_what_we_see(pid)


def _sees_what_we_see(pid: int) -> bool:
    try:
        return all(os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}") for kind in _KINDS)
    except OSError:
        return False


_KINDS: Final = ("mnt", "pid")


def _children(parent: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _stat(int(name))) and int(fields[1]) == parent:
            yield int(name)


def _age_s(pid: int) -> float:
    fields = _stat(pid)
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name; none when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
    except OSError:
        return ""
