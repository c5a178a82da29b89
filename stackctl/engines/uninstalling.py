"""Leaving a machine as it was before there was an engine."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Final

from stackctl.errors import Conflict
from stackctl.runtime.network.forwarding import restore_forwarding
from stackctl.runtime.paths import RUN_PARENT, EnginePaths

# Only what engines make: somebody may have put other things beside it.
_OWN: Final = frozenset(
    (
        "build",
        "code",
        "containers",
        "contents",
        "contents.key",
        "engine-id",
        "engine.lock",
        "engine.log",
        "host-forwarding",
        "images",
        "networks",
        "set-aside",
        "spawn.json",
        "start.lock",
        "supervisor.db",
        "supervisor.db-shm",
        "supervisor.db-wal",
        "supervisor.db.broken",
        "supervisor.db.broken-shm",
        "supervisor.db.broken-wal",
        "trash",
        "volumes",
    )
)


def volumes_with_data(paths: EnginePaths) -> list[str]:
    """Return the names of the volumes that hold anything."""
    with contextlib.suppress(FileNotFoundError), os.scandir(paths.volumes) as entries:
        return sorted(entry.name for entry in entries if _holds_anything(f"{entry.path}/_data"))
    return []


def restore_host(paths: EnginePaths) -> list[str]:
    """Undo what a stopped engine left of its own to this machine outside of its root; return what was done.

    Its bridges, rules and control groups went when it stopped.
    """
    done = restore_forwarding(paths)
    shutil.rmtree(paths.run, ignore_errors=True)
    with contextlib.suppress(OSError):
        if os.listdir(RUN_PARENT) == ["subnets.lock"]:
            os.unlink(f"{RUN_PARENT}/subnets.lock")
        os.rmdir(RUN_PARENT)
    return done


def remove_root(paths: EnginePaths) -> list[str]:
    """Delete the state root; return what is left there because no engine made it.

    Raises Conflict when something is mounted below it: what is mounted there is not ours to delete. Raises OSError.
    """
    mounted = _mounts_below(paths.root)
    if mounted:
        raise Conflict(f"{mounted[0]} is a mount point", code="root-in-use", hint="unmount it first")
    for name in sorted(set(os.listdir(paths.root)) & _OWN):
        path = f"{paths.root}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    left = sorted(os.listdir(paths.root))
    if not left:
        with contextlib.suppress(OSError):  # it may be a mount point itself: empty is enough
            os.rmdir(paths.root)
    return left


def _holds_anything(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _mounts_below(root: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file]
    names = [point.encode("utf-8", "surrogateescape").decode("unicode_escape") for point in points]
    return [name for name in names if name.startswith(f"{root}/")]
