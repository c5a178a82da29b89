"""Volumes of the built-in engine, as Docker's clients name and use them. Those of stacks are among them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from stackctl import labels
from stackctl.engines.disk_usage import volume_bytes
from stackctl.engines.local import LocalEngine
from stackctl.errors import Conflict, NotFound
from stackctl.model.observed import ObservedVolume
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.supervisor_client import SupervisorClient
from stackctl.wire import codec


class LocalVolumes:
    """Volumes by name. Any thread may call any method. Raises EngineError."""

    def __init__(self, engine: LocalEngine, supervisor: SupervisorClient) -> None:
        self._engine = engine
        self._supervisor = supervisor

    def all(self) -> tuple[ObservedVolume, ...]:
        """Return every volume, by name."""
        return self._engine.volumes()

    def find(self, name: str) -> ObservedVolume:
        """Return one volume. Raises NotFound."""
        for volume in self._engine.volumes():
            if volume.name == name:
                return volume
        raise NotFound(f"get {name}: no such volume", code="no-such-volume")

    def create(self, spec: VolumeSpec) -> ObservedVolume:
        """Make a volume, anonymous without a name; one that is there already stays as it is."""
        if not spec.name:
            marks = tuple(sorted({**dict(spec.labels), labels.ANONYMOUS_VOLUME: ""}.items()))
            spec = VolumeSpec(name=os.urandom(32).hex(), options=spec.options, labels=marks)
        self._supervisor.call("create-volume", spec=codec.encode(spec))
        return self.find(spec.name)

    def remove(self, name: str) -> None:
        """Remove a volume and what is in it. Raises NotFound, Conflict."""
        self._supervisor.call("remove-volume", name=self.find(name).name)

    def prune(self, candidates: Iterable[ObservedVolume]) -> tuple[list[str], int]:
        """Remove those of the volumes that no container uses; return their names and how many bytes they held."""
        removed, freed = [], 0
        for volume in candidates:
            if volume.used_by:
                continue
            held = volume_bytes(volume)
            try:
                self.remove(volume.name)
            except (Conflict, NotFound):
                continue  # somebody has been faster
            removed.append(volume.name)
            freed += held
        return removed, freed
