"""The image store in the shapes Docker's clients read. Source: Docker Engine API 1.51, image list and inspect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stackctl.engines.local import LocalEngine
from stackctl.errors import Conflict, NotFound
from stackctl.images.chunks import Readable
from stackctl.images.config import inspect_json, list_json
from stackctl.images.history import history_json
from stackctl.images.store import ImageStore


class LocalImages:
    """Images of the built-in engine. Errors are those of ``ImageStore``."""

    def __init__(self, store: ImageStore, engine: LocalEngine) -> None:
        self._store = store
        self._engine = engine

    def list_json(self) -> list[dict[str, Any]]:
        """Return every image."""
        users = [container.image_id for container in self._engine.containers()]
        return [{**list_json(image), "Containers": users.count(image.id)} for image in self._store.list()]

    def inspect_json(self, reference: str) -> dict[str, Any]:
        """Return one image. Raises NotFound."""
        return inspect_json(self._store.inspect(reference))

    def history_json(self, reference: str) -> list[dict[str, Any]]:
        """Return how an image was made. Raises NotFound."""
        image = self._store.inspect(reference)
        return history_json(image, self._store.layer_sizes(image.id))

    def load(self, stream: Readable) -> list[str]:
        """Load an archive, and return the names (or ids) of what came."""
        return [image.name or image.id for image in self._store.load(stream)]

    def import_root(self, stream: Readable, reference: str, changes: Sequence[str]) -> str:
        """Make an image out of a root tar, and return its id."""
        return self._store.import_tar(stream, name=reference, changes=changes)

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name."""
        self._store.tag(reference, name)

    def prune(self, *, only_untagged: bool) -> dict[str, Any]:
        """Remove images that no container uses: those without a name, or all, and then what builds have kept, too."""
        used = {container.image_id for container in self._engine.containers()}
        deleted: list[dict[str, str]] = []
        before = self._store.disk_bytes()
        if not only_untagged:
            self._store.builds.prune()
        for image in self._store.list():
            if not (image.is_builtin or image.id in used or (only_untagged and image.tags)):
                try:
                    deleted += self.remove(image.id, force=True)
                except (Conflict, NotFound):
                    continue  # somebody has been faster
        return {"ImagesDeleted": deleted, "SpaceReclaimed": max(before - self._store.disk_bytes(), 0)}

    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]:
        """Untag an image, and delete it with its last tag."""
        untagged, deleted = self._store.remove(reference, force=force)
        return [*({"Untagged": name} for name in untagged), *({"Deleted": digest} for digest in deleted)]
