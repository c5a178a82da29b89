"""Bringing daemon and supervisor of a running engine to another installation; containers do not notice."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final

from stackctl.engines.start import comes_back, locked, root_of, write_spawn
from stackctl.runtime.paths import EnginePaths, find_engine
from stackctl.wire.protocol import PROTOCOL

_END_S: Final = 10.0


def replace_engine(environment: Mapping[str, str], is_due: Callable[[], bool] = lambda: True) -> None:
    """Restart the engine's supervisor and daemon from this installation. Raises OSError, EngineUnreachable.

    ``is_due`` is asked when nobody else is about it, for of two who want it the first has done it.
    """
    paths = find_engine(root_of(environment))
    if paths is None:
        return
    with locked(paths.start_lock):
        if not is_due():
            return
        write_spawn(paths)
        # Order: a daemon of the new kind must never ask a supervisor of the old one.
        _end(paths, "supervisor")
        _end(paths, "daemon")
        comes_back(paths)


def renew_supervisor(paths: EnginePaths) -> None:
    """Restart the supervisor from this installation when the engine was started from one that speaks otherwise.

    For a daemon that came back after its installation was changed in place.
    """
    if _read(paths.spawn).get("protocol") != PROTOCOL:
        write_spawn(paths)
        _end(paths, "supervisor")


def installation_of(environment: Mapping[str, str]) -> str:
    """Return the interpreter that the engine runs its daemon with, "" when that is not known."""
    paths = find_engine(root_of(environment))
    daemon = [] if paths is None else _read(paths.spawn).get("daemon", [])
    return str(daemon[0]) if daemon else ""


def _read(path: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        found: dict[str, Any] = json.load(file)
        return found
    return {}


def _end(paths: EnginePaths, role: str) -> None:
    """Kill one of the keeper's two, which starts it again; return when it is gone."""
    pid = _read(paths.processes).get(role, 0)
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError, OSError):
        return
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            is_ours = paths.root.encode() in file.read().split(b"\0")
        if is_ours:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], _END_S)
    except (ProcessLookupError, FileNotFoundError):
        return
    finally:
        os.close(pidfd)
