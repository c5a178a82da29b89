"""Which process of an engine on this machine somebody has stopped, as by SIGSTOP: it answers when it goes on."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from stackctl.errors import EngineUnreachable

_ROLES = ("daemon", "supervisor")


def stopped_process(socket_path: str) -> tuple[str, int]:
    """Return the role and process id of the engine whose API is at ``socket_path``, ("", 0) when none is stopped."""
    with suppress(OSError, ValueError), open(f"{os.path.dirname(socket_path)}/processes.json", "rb") as file:
        pids = json.load(file)
        for role in _ROLES:
            if isinstance(pid := pids.get(role), int) and _is_stopped(pid):
                return role, pid
    return "", 0


def stopped_error(role: str, pid: int) -> EngineUnreachable:
    """Return what to tell whoever waits for it. Pure."""
    return EngineUnreachable(
        f"the engine's {role} (process {pid}) has been stopped and does not answer",
        code="engine-stopped",
        hint=f"let it go on: kill -CONT {pid}; containers run meanwhile",
    )


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False
