"""One container as the supervisor holds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from stackctl.model.container import ContainerSpec
from stackctl.model.root import HostRoot, OverlayRoot
from stackctl.runtime.log_writer import LogWriter
from stackctl.runtime.loop import Timer
from stackctl.runtime.state import Facts, Phase
from stackctl.wire import codec


@dataclass(slots=True, eq=False)
class Container:
    """A container: what it should be, what it is, and what we hold open for it.

    ``pidfd`` is -1 unless a first process lives. ``revision`` counts changes of ``spec``. ``look_at_start``
    reads the report of a start under way; ``failed_start`` is what a failed one does once the child is gone.
    ``is_being_stopped``: somebody asked for the end that is to come. ``prober`` is what runs a probe right now.
    ``told`` is what of its specification has no effect on this machine, known once it was started.
    """

    id: str
    spec: ContainerSpec
    root: OverlayRoot | HostRoot
    phase: Phase
    facts: Facts
    revision: int = 1
    pidfd: int = -1
    logs: LogWriter | None = None
    stop_timer: Timer | None = None
    restart_timer: Timer | None = None
    probe_timer: Timer | None = None
    terminal_fd: int = -1
    stdin_fd: int = -1
    look_at_start: Callable[[], None] | None = None
    failed_start: Callable[[], None] | None = None
    is_being_stopped: bool = False
    prober: object | None = None
    told: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The unique name."""
        return self.spec.name

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return self.pidfd >= 0


def spec_text(container: Container) -> bytes:
    """Return what ``spec.json`` holds of a container."""
    shape = {
        "id": container.id,
        "revision": container.revision,
        "created_ns": container.facts.created_ns,
        "spec": codec.encode(container.spec),
        "root": codec.encode(container.root),
    }
    return json.dumps(shape, separators=(",", ":")).encode()


def read_spec(text: bytes) -> tuple[ContainerSpec, OverlayRoot | HostRoot, int, int]:
    """Return specification, root, revision and time of creation from a ``spec.json``. Raises ValueError."""
    shape = json.loads(text)
    root = codec.decode_union(OverlayRoot | HostRoot, shape["root"])
    return codec.decode(ContainerSpec, shape["spec"]), root, shape["revision"], shape["created_ns"]
