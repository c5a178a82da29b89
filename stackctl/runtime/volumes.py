"""Volumes of the ``local`` driver: a folder each, ``spec.json`` beside the data."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass

from stackctl.errors import Conflict, EngineError, NotFound
from stackctl.model.volume import VolumeSpec
from stackctl.runtime.faults import fault_point
from stackctl.runtime.kernel import libc
from stackctl.runtime.paths import EnginePaths, drop_half_written, write_atomically
from stackctl.runtime.volume_options import Bound, FileSystem, source_of
from stackctl.wire import codec


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that exists."""

    spec: VolumeSpec
    mountpoint: str
    created_ns: int


class VolumeStore:
    """The engine's volumes, by name. The folders are the truth; nothing else is kept."""

    def __init__(self, paths: EnginePaths) -> None:
        self._paths = paths
        self._known: dict[str, Volume] = {}
        for name in sorted(os.listdir(paths.volumes)):
            volume = self._read(name)
            if volume is not None:
                self._known[name] = volume
            else:
                self._drop_half_made(name)

    def all(self) -> list[Volume]:
        """Return every volume, by name."""
        return [self._known[name] for name in sorted(self._known)]

    def find(self, name: str) -> Volume | None:
        """Return the volume, None when there is none."""
        return self._known.get(name)

    def create(self, spec: VolumeSpec) -> Volume:
        """Make the volume unless it exists; one that does keeps its content. Raises EngineError."""
        found = self._known.get(spec.name)
        if found is not None:
            return found
        _check(spec)
        folder = f"{self._paths.volumes}/{spec.name}"
        volume = Volume(spec, self._mountpoint(spec), time.time_ns())
        os.makedirs(f"{folder}/_data", 0o755, exist_ok=True)
        fault_point("volume: folder made")
        shape = {"spec": codec.encode(spec), "created_ns": volume.created_ns}
        write_atomically(f"{folder}/spec.json", json.dumps(shape).encode())
        self._known[spec.name] = volume
        return volume

    def remove(self, name: str) -> None:
        """Remove a volume and its content. Raises NotFound."""
        if self._known.pop(name, None) is None:
            raise NotFound(f"no such volume: {name}")
        folder = f"{self._paths.volumes}/{name}"
        self.unmount(name)
        # Order: without its spec.json a folder is no volume; one rename makes it trash.
        os.rename(folder, f"{self._paths.trash}/volume-{name}-{time.time_ns()}")
        fault_point("volume removal: folder in the trash")

    def mount(self, volume: Volume) -> None:
        """See that a file system of this machine that a volume is made of is mounted. Raises OSError.

        One mount serves all its users, so that they share what it holds, and stays for those that outlive us. One
        of another machine is mounted by each container for itself: its server must not keep the engine waiting.
        """
        source = source_of(volume.spec)
        if isinstance(source, FileSystem) and not source.is_remote and not os.path.ismount(volume.mountpoint):
            libc.mount(source.device, volume.mountpoint, source.kind, source.flags, source.data)

    def unmount(self, name: str) -> None:
        """Take away what ``mount`` has mounted; harmless when there is nothing. Processes that use it go on."""
        mountpoint = f"{self._paths.volumes}/{name}/_data"
        if os.path.ismount(mountpoint):
            libc.umount(mountpoint, libc.MNT_DETACH)

    def _mountpoint(self, spec: VolumeSpec) -> str:
        with contextlib.suppress(EngineError):  # of another version of ours, that knew more
            source = source_of(spec)
            if isinstance(source, Bound):
                return source.path
        return f"{self._paths.volumes}/{spec.name}/_data"

    def _drop_half_made(self, name: str) -> None:
        # Only what is empty goes: content without a readable record is somebody's data all the same.
        folder = f"{self._paths.volumes}/{name}"
        with contextlib.suppress(OSError):
            drop_half_written(folder)
            os.rmdir(f"{folder}/_data")
            os.rmdir(folder)

    def _read(self, name: str) -> Volume | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with open(f"{self._paths.volumes}/{name}/spec.json", "rb") as file:
                shape = json.load(file)
            spec = codec.decode(VolumeSpec, shape["spec"])
            return Volume(spec, self._mountpoint(spec), shape["created_ns"])
        return None


def _check(spec: VolumeSpec) -> None:
    if not spec.name or "/" in spec.name or spec.name.startswith(".") or len(spec.name) > 255:
        raise Conflict(f"invalid volume name: {spec.name!r}", code="invalid-name")
    if spec.driver not in ("", "local"):
        raise EngineError(
            f"volume {spec.name}: driver {spec.driver!r} is not available",
            code="volume-driver",
            hint="only the driver local is built in",
        )
    source_of(spec)
