"""What takes room on the disk: images, what containers have written, volumes, steps of builds."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Final, NamedTuple

from stackctl.engines.local import LocalEngine
from stackctl.images.config import list_json
from stackctl.images.store import ImageStore
from stackctl.model.observed import ObservedContainer, ObservedVolume
from stackctl.runtime.paths import EnginePaths

_BLOCK: Final = 512


class ContainerUsage(NamedTuple):
    """A container, the bytes it has written into its root, and those with its image's."""

    container: ObservedContainer
    written: int
    total: int


class VolumeUsage(NamedTuple):
    """A volume and the bytes in it."""

    volume: ObservedVolume
    size: int


class StepUsage(NamedTuple):
    """A step of a build that is remembered, and the bytes of its layer."""

    key: str
    size: int
    used_ns: int


class DiskUsage:
    """Looks at the disk anew each time. Any thread may call any method."""

    def __init__(self, paths: EnginePaths, engine: LocalEngine, images: ImageStore) -> None:
        self._paths = paths
        self._engine = engine
        self._images = images

    def layers_bytes(self) -> int:
        """Return the bytes of all layers, each once."""
        return self._images.disk_bytes()

    def images(self) -> list[dict[str, Any]]:
        """Return every image in Docker's list shape, with what it shares with others and how many containers use it."""
        users = Counter(container.image_id for container in self._engine.containers())
        found = [image for image in self._images.list() if not image.is_builtin]
        layers = {image.id: self._images.layer_facts(image.id) for image in found}
        holders = Counter(layer for held in layers.values() for layer in dict.fromkeys(held))
        return [
            {
                **list_json(image),
                "Containers": users[image.id],
                "SharedSize": sum(size for name, size in layers[image.id] if holders[name, size] > 1),
            }
            for image in found
        ]

    def containers(self) -> list[ContainerUsage]:
        """Return every container with what it has written."""
        sizes = {image.id: image.size_bytes for image in self._images.list()}
        found = []
        for container in self._engine.containers():
            written = bytes_below(f"{self._paths.container(container.id)}/upper")
            found.append(ContainerUsage(container, written, written + sizes.get(container.image_id, 0)))
        return found

    def volumes(self) -> list[VolumeUsage]:
        """Return every volume with the bytes in it; what is bound from elsewhere counts as nothing."""
        return [VolumeUsage(volume, volume_bytes(volume)) for volume in self._engine.volumes()]

    def steps(self) -> list[StepUsage]:
        """Return the steps of builds that are remembered, the one used last first."""
        return [StepUsage(*row) for row in self._images.builds.steps()]


def volume_bytes(volume: ObservedVolume) -> int:
    """Return the bytes of a volume's own files."""
    is_bound = volume.spec is not None and bool(volume.spec.options)
    return 0 if is_bound else bytes_below(volume.mountpoint)


def bytes_below(folder: str) -> int:
    """Return the bytes that files below a folder take on the disk; one with several names counts once."""
    total, seen = 0, set()
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    if facts.st_nlink > 1:
                        if (facts.st_dev, facts.st_ino) in seen:
                            continue
                        seen.add((facts.st_dev, facts.st_ino))
                    total += facts.st_blocks * _BLOCK
        except OSError:
            continue  # it has just gone
    return total
