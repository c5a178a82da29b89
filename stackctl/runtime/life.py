"""A copy, in the live part of the engine, of what is known of each running container.

Row and specification lie in the state root, on a disk that may be damaged. What runs must not be lost with them:
whichever record names a process that lives is believed. Gone with the boot, as the processes are.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Final, NamedTuple

from stackctl.runtime.paths import EnginePaths
from stackctl.runtime.record import Container, spec_text
from stackctl.runtime.state import Row, facts_text, read_row

_PREFIX: Final = "life-"


class Life(NamedTuple):
    """What was known of a container while it ran: its row, and the text of its ``spec.json``."""

    row: Row
    spec: bytes


class Lives:
    """The copies, by container id. For the supervisor."""

    def __init__(self, paths: EnginePaths, boot: str) -> None:
        self._run, self._boot = paths.run, boot
        self._kept = {name.removeprefix(_PREFIX) for name in os.listdir(paths.run) if name.startswith(_PREFIX)}

    def keep(self, container: Container) -> None:
        """Write the copy anew. One that cannot be written, as in a full /run, is left out."""
        shape = [
            container.name,
            container.phase,
            self._boot,
            facts_text(container.facts),
            spec_text(container).decode(),
        ]
        path = self._path(container.id)
        self._kept.add(container.id)
        # Not by write_atomically: this is done at each start. One that is cut short is no JSON.
        with suppress(OSError), open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(shape, separators=(",", ":")))

    def drop(self, container_id: str) -> None:
        """Delete a copy; harmless when there is none."""
        if container_id in self._kept:
            self._kept.discard(container_id)
            with suppress(FileNotFoundError):
                os.unlink(self._path(container_id))

    def drop_others(self, kept: set[str]) -> None:
        """Delete all copies but those of containers in ``kept``."""
        for container_id in self._kept - kept:
            self.drop(container_id)

    def read(self) -> dict[str, Life]:
        """Return every copy that can be read."""
        found = {}
        for container_id in self._kept:
            with suppress(OSError, ValueError, TypeError), open(self._path(container_id), encoding="utf-8") as file:
                *row, spec = json.load(file)
                found[container_id] = Life(read_row(container_id, *row), spec.encode())
        return found

    def _path(self, container_id: str) -> str:
        return f"{self._run}/{_PREFIX}{container_id}"
