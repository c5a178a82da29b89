"""Hook: a command run in a container at a point of its life."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A further process, in a container that runs.

    ``env`` holds ``KEY=value``, in addition to the container's. Empty ``user`` and ``working_dir`` are the container's.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
