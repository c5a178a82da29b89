"""World: everything the supervisor holds, handed to each verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.runtime.event_log import EventLog
from stackctl.runtime.holder import Holder
from stackctl.runtime.journal import Journal
from stackctl.runtime.kept import KeptDescriptors
from stackctl.runtime.kernel import features
from stackctl.runtime.kernel.cgroup import CgroupDriver
from stackctl.runtime.kernel.process import identity
from stackctl.runtime.life import Lives
from stackctl.runtime.log_writer import LogWriter
from stackctl.runtime.loop import Loop, Timer
from stackctl.runtime.networks import Networks
from stackctl.runtime.paths import EnginePaths, write_atomically
from stackctl.runtime.record import Container, spec_text
from stackctl.runtime.stamps import Stamps
from stackctl.runtime.state import Phase, StateStore
from stackctl.runtime.volumes import VolumeStore

_ID_LENGTH = 64
_RETRY_S = 1.0
_INTENTS = ("creating", "starting")
_ALIVE = ("starting", "running")


@dataclass(slots=True, eq=False)
class World:
    """The supervisor's containers and what they are made from. One thread, one writer."""

    paths: EnginePaths
    loop: Loop
    store: StateStore
    lives: Lives
    journal: Journal
    kept: KeptDescriptors
    holder: Holder
    cgroups: CgroupDriver
    networks: Networks
    volumes: VolumeStore
    stamps: Stamps
    init_program: Callable[[], int]
    events: EventLog = field(default_factory=EventLog)
    containers: dict[str, Container] = field(default_factory=dict)
    names: dict[str, Container] = field(default_factory=dict)
    listeners: list[Callable[[Container], None]] = field(default_factory=list)
    without: frozenset[str] = frozenset()
    is_stopping: bool = False
    trash_timer: Timer | None = None
    helpers: set[int] = field(default_factory=set)
    unsaved: set[str] = field(default_factory=set)
    hook_runs: dict[str, list[Callable[[Exception | None], None]]] = field(default_factory=dict)

    def find(self, name_or_id: str) -> Container:
        """Return the container with this name, id, or unique prefix of an id. Raises NotFound, Conflict."""
        found = self.names.get(name_or_id) or self.containers.get(name_or_id)
        if found is not None:
            return found
        matches = [c for key, c in self.containers.items() if name_or_id and key.startswith(name_or_id)]
        if len(matches) > 1:
            raise Conflict(f"several containers have an id that starts with {name_or_id}", code="ambiguous-id")
        if not matches:
            raise NotFound(f"no such container: {name_or_id}", code="no-such-container")
        return matches[0]

    def add(self, container: Container) -> None:
        """Take a container in, under its id and name."""
        self.containers[container.id] = container
        self.names[container.name] = container

    def forget(self, container: Container) -> None:
        """Drop a container from memory."""
        self.containers.pop(container.id, None)
        self.names.pop(container.name, None)
        self.lives.drop(container.id)
        self.journal.forget(container.id)

    def set_phase(self, container: Container, phase: Phase) -> None:
        """Record a phase, then tell everybody."""
        container.phase = phase
        self.save(container)
        self.notify(container)

    def save(self, container: Container) -> None:
        """Write the container's row. Raises EngineError where what follows must not be done without it.

        What has happened already is written later when it cannot be written now: it stays true in memory.
        """
        if container.facts.pid and container.phase in _ALIVE:
            self.lives.keep(container)
        else:
            self.lives.drop(container.id)
        try:
            self.store.save(container.id, container.name, container.phase, container.facts)
            self.unsaved.discard(container.id)
            self._follow_journal(container)
        except EngineError:
            if container.phase in _INTENTS:
                raise
            self._save_later(container)

    def _follow_journal(self, container: Container) -> None:
        # The journal's entry may go once the row, on disk, no longer names the process.
        facts = container.facts
        if facts.pid:
            self.journal.expect(container.id, facts.pid, facts.start_ticks)
        else:
            self.journal.forget(container.id)
        self.journal.punch()

    def _save_later(self, container: Container) -> None:
        if not self.unsaved:
            self.loop.call_later(_RETRY_S, self._save_unsaved)
        self.unsaved.add(container.id)

    def _save_unsaved(self) -> None:
        late, self.unsaved = self.unsaved, set()
        for container_id in late:
            if container_id in self.containers:
                self.save(self.containers[container_id])

    def save_spec(self, container: Container) -> None:
        """Write the container's specification, whole or not at all.

        Not forced to the disk: after a power cut one that is unreadable is taken from the index, or the container's
        files are set aside and it is made anew.
        """
        path = f"{self.paths.container(container.id)}/spec.json"
        self.stamps.spoil(container.spec)
        text = spec_text(container)
        write_atomically(path, text, is_durable=False)
        self.store.save_spec(container.id, text)
        if container.is_running:
            self.lives.keep(container)

    def notify(self, container: Container) -> None:
        """Tell the listeners that something about the container changed."""
        self.stamps.spoil(container.spec)
        for listener in list(self.listeners):
            listener(container)

    def identity(self, pidfd: int) -> int:
        """Return what names a process for good."""
        return identity(pidfd, by_inode=features.PIDFD_INODE not in self.without)

    def open_log(self, container: Container) -> LogWriter:
        """Return the writer of the container's log, open at its end."""
        can_splice = features.SPLICE not in self.without
        writer = LogWriter(f"{self.folder(container)}/log", container.spec.log, self.loop, can_splice=can_splice)
        writer.open()
        return writer

    def folder(self, container: Container) -> str:
        """Return the container's folder."""
        return self.paths.container(container.id)


def new_id() -> str:
    """Return a new container id: 64 random hex digits."""
    return os.urandom(_ID_LENGTH // 2).hex()
