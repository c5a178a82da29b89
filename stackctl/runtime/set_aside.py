"""Containers whose specification is lost: nobody can say what they were, but what they wrote is not ours to delete."""

from __future__ import annotations

import contextlib
import os

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


def notices(paths: EnginePaths) -> list[str]:
    """Return what to tell about each folder that is still there."""
    try:
        names = sorted(os.listdir(paths.set_aside))
    except FileNotFoundError:
        return []
    return [
        f"the specification of a container cannot be read; what it wrote is kept in {paths.set_aside}/{name}/upper"
        for name in names
    ]
