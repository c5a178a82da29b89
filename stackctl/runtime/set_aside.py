"""Containers whose specification is lost: nobody can say what they were, but what they wrote is not ours to delete."""

from __future__ import annotations

import contextlib
import os
import shutil

from stackctl.errors import NotFound
from stackctl.runtime.paths import EnginePaths


def set_aside(paths: EnginePaths, container_id: str, name: str) -> None:
    """Move the folder of a container out of the way, to be found under its name. Raises OSError."""
    os.makedirs(paths.set_aside, 0o700, exist_ok=True)
    os.rename(paths.container(container_id), f"{paths.set_aside}/{name or 'unknown'}-{container_id[:12]}")


def has_files(paths: EnginePaths, container_id: str) -> bool:
    """Whether the container has written anything."""
    with contextlib.suppress(OSError):
        return bool(os.listdir(f"{paths.container(container_id)}/upper"))
    return False


def names(paths: EnginePaths) -> list[str]:
    """Return what was set aside and is still there: the container's name, and the beginning of its id."""
    try:
        return sorted(os.listdir(paths.set_aside))
    except FileNotFoundError:
        return []


def remove(paths: EnginePaths, name: str) -> None:
    """Delete what was set aside under ``name``. Raises NotFound, OSError."""
    if name not in names(paths):
        raise NotFound(f"nothing is set aside as {name}", code="no-such-container")
    shutil.rmtree(f"{paths.set_aside}/{name}")
    with contextlib.suppress(OSError):  # more is there
        os.rmdir(paths.set_aside)


def notices(paths: EnginePaths) -> list[str]:
    """Return what to tell about each folder that is still there."""
    return [notice(paths.root, name) for name in names(paths)]


def notice(root: str, name: str) -> str:
    """Return what to tell about one. Pure."""
    return f"the specification of a container cannot be read; what it wrote is kept in {root}/set-aside/{name}/upper"


HINT = "take what you need; `stackctl engine set-aside --remove NAME` deletes it"
