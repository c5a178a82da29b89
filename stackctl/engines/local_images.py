"""The image store in the shapes Docker's clients read. Source: Docker Engine API 1.51, image list and inspect."""

from __future__ import annotations

import platform
import time
from typing import Any, Final

from stackctl.engines.local import LocalEngine
from stackctl.errors import NotFound
from stackctl.images0.archive import load
from stackctl.images0.import_tar import import_root
from stackctl.images0.store import ImageStore, StoredImage
from stackctl.images0.tar import Readable

_NS: Final = 1_000_000_000


class LocalImages:
    """Images of the built-in engine."""

    def __init__(self, store: ImageStore, engine: LocalEngine) -> None:
        self._store = store
        self._engine = engine
        machine = platform.machine()
        self._architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)

    def list_json(self) -> list[dict[str, Any]]:
        """Return every image."""
        users = [container.image_id for container in self._engine.containers()]
        return [
            {
                "Id": image.id,
                "RepoTags": list(image.tags),
                "RepoDigests": [],
                "ParentId": "",
                "Created": image.created_ns // _NS,
                "Size": image.size,
                "SharedSize": -1,
                "Containers": users.count(image.id),
                "Labels": image.config.get("config", {}).get("Labels") or {},
            }
            for image in self._store.all()
        ]

    def inspect_json(self, reference: str) -> dict[str, Any]:
        """Return one image. Raises NotFound."""
        if self._store.resolve(reference) is None:
            raise NotFound(f"No such image: {reference}", code="image-not-found")
        return _inspect(self._store.inspect(reference))

    def load(self, stream: Readable) -> list[str]:
        """Load an archive, and return the names (or ids) of what came."""
        loaded = load(self._store, stream, architecture=self._architecture)
        return [image.name or image.id for image in loaded]

    def import_root(self, stream: Readable, reference: str, changes: tuple[str, ...]) -> str:
        """Make an image out of a root tar, and return its id."""
        return import_root(self._store, stream, reference, changes, architecture=self._architecture).id

    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]:
        """Untag an image, and delete it with its last tag."""
        if self._store.resolve(reference) is None:
            raise NotFound(f"No such image: {reference}", code="image-not-found")
        return self._store.remove(reference, force=force, users=self._users)

    def _users(self, image_id: str) -> list[str]:
        return [container.name for container in self._engine.containers() if container.image_id == image_id]


def _inspect(image: StoredImage) -> dict[str, Any]:
    rootfs = image.config.get("rootfs") or {}
    return {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": [],
        "Created": image.config.get("created")
        or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.created_ns // _NS)),
        "Architecture": image.config.get("architecture", ""),
        "Os": image.config.get("os", "linux"),
        "Size": image.size,
        "Config": image.config.get("config") or {},
        "RootFS": {"Type": "layers", "Layers": rootfs.get("diff_ids") or []},
    }
