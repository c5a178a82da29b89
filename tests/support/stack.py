"""A stack in a folder of its own, on an engine that other stacks may share."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.engine import Engine, Result
from tests.support.terminal import Terminal, stackctl_argv

# Containers of tests end at once: none of them has anything to save.
BUSYBOX = {"image": "busybox", "stop_grace_period": "0s"}
FOREVER = {**BUSYBOX, "command": "sleep 1000"}


@dataclass(frozen=True)
class Stack:
    """The stack ``name`` whose files are in ``folder``; commands run there."""

    engine: Engine
    folder: Path
    name: str

    @property
    def file(self) -> Path:
        """Its stack file."""
        return self.folder / "compose.yaml"

    def write(self, services: Mapping[str, Any], **top: Any) -> None:
        """Write the stack file anew."""
        self.file.write_text(json.dumps({"name": self.name, "services": services, **top}, indent=1), encoding="utf-8")

    def run(self, *arguments: str, **options: Any) -> Result:
        """Run ``stackctl`` in the folder; ``options`` are those of ``Engine.run``."""
        return self.engine.run(*arguments, cwd=self.folder, **options)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Begin ``stackctl`` in the folder; ``options`` are those of ``Engine.start``."""
        return self.engine.start(*arguments, cwd=self.folder, **options)

    def terminal(self, *arguments: str, columns: int = 100, env: Mapping[str, str] | None = None) -> Terminal:
        """Begin ``stackctl`` in the folder, at a terminal of its own."""
        return Terminal(stackctl_argv(*arguments), env=self.engine.variables(env), cwd=self.folder, columns=columns)

    def states(self) -> dict[str, str]:
        """Return the state of each container, by name, one-offs too."""
        return {row["Name"]: row["State"] for row in self.run("ps", "-a", "--format", "json").rows()}


@contextmanager
def stack_in(engine: Engine, folder: Path, name: str) -> Iterator[Stack]:
    """Give a stack, and take down whatever has become of it."""
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(engine, folder, name)
    try:
        yield stack
    finally:
        stack.engine.run("-p", name, "down", "-v", "-t", "0", "--remove-orphans", cwd=Path("/"), status=None)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port nobody holds now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
