"""Policy: how the user wants a plan to be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Recreate = Literal["diverged", "force", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a command asks for beside the stack.

    ``services`` empty means all; with ``no_deps`` their dependencies are left alone, with
    ``recreate_deps`` they are replaced, changed or not. ``grace_s`` None means
    each container's own. ``wait`` adds a last wait until everything is up; ``wait_timeout_s`` 0 has no bound.
    """

    services: tuple[str, ...] = ()
    no_deps: bool = False
    recreate: Recreate = "diverged"
    recreate_deps: bool = False
    remove_orphans: bool = False
    remove_volumes: bool = False
    no_start: bool = False
    wait: bool = False
    wait_timeout_s: float = 0.0
    grace_s: float | None = None
    signal: str = "SIGKILL"
