"""What a build asks of whoever runs containers: one command on a stack of layers, and the folder of its changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from stackctl.model.container import Mount
from stackctl.model.root import Root

DEFAULT_SHM_BYTES: Final = 64 * 1024 * 1024
Network = Literal["default", "none", "host"]
Output = Callable[[bytes], None]
CancelCheck = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A command to run. ``env`` holds ``KEY=value``; ``upper`` is where its changes go, and is not there yet."""

    root: Root
    argv: tuple[str, ...]
    env: tuple[str, ...]
    user: str
    working_dir: str
    upper: str
    network: Network = "default"
    mounts: tuple[Mount, ...] = ()
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = DEFAULT_SHM_BYTES


class Runner(Protocol):
    """Runs the commands of one build."""

    def run(self, request: RunRequest, output: Output, cancelled: CancelCheck) -> int:
        """Run a command to its end, handing on what it writes; return its exit code.

        When it is 0, ``request.upper`` is the overlay's upper folder, and nobody else's. Raises ContainerError when
        it cannot be started, EngineError; with code ``cancelled`` soon after ``cancelled()`` turns true.
        """
        ...
