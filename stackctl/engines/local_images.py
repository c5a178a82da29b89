"""The image store in the shapes Docker's clients read. Source: Docker Engine API 1.51, image list and inspect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.engines.local import LocalEngine
from stackctl.errors import Conflict, ImageError, NotFound
from stackctl.images.chunks import Readable
from stackctl.images.config import StoredImage, inspect_json, list_json
from stackctl.images.history import history_json
from stackctl.images.incoming import full_name
from stackctl.images.store import ImageStore, TellImage
from stackctl.model.image import parse_image_ref


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRoot:
    """What an image made of a root tar is called, and how it is made; ``platform`` "" is this machine's."""

    reference: str = ""
    changes: tuple[str, ...] = ()
    platform: str = ""
    comment: str = ""


class LocalImages:
    """Images of the built-in engine. Errors are those of ``ImageStore``."""

    def __init__(self, store: ImageStore, engine: LocalEngine, tell: TellImage = lambda *_: None) -> None:
        self._store = store
        self._engine = engine
        self._tell = tell

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
        return history_json(image, [size for _, size in self._store.layer_facts(image.id)])

    def load(self, stream: Readable, platform: str) -> list[str]:
        """Load an archive, and return the names (or ids) of what came."""
        return [image.name or image.id for image in self._store.load(stream, platform)]

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """Return an archive of images, each under the names it is asked by. Raises NotFound at once."""
        wanted: dict[str, tuple[StoredImage, list[str]]] = {}
        for reference in references:
            image = self._store.inspect(reference)
            if image.is_builtin:
                raise ImageError("the built-in image cannot be saved: it is this machine", code="image-builtin")
            _, names = wanted.setdefault(image.id, (image, []))
            names += [name for name in _named(image, reference) if name not in names]
        for image, _ in wanted.values():
            self._tell("save", image.id, image.id)
        return self._store.exports.save(list(wanted.values()))

    def import_root(self, stream: Readable, made: ImportedRoot) -> str:
        """Make an image out of a root tar, and return its id."""
        return self._store.import_tar(
            stream, name=made.reference, changes=made.changes, platform=made.platform, comment=made.comment
        )

    def tag(self, reference: str, name: str) -> None:
        """Give an image another name."""
        self._store.tag(reference, name)

    def prune(self, *, only_untagged: bool, passes: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        """Remove images that no container uses: those without a name, or all (then also what builds have
        kept); of them those that pass.
        """
        used = {container.image_id for container in self._engine.containers()}
        deleted: list[dict[str, str]] = []
        before = self._store.disk_bytes()
        if not only_untagged:
            self._store.builds.prune()
        for image in self._store.list():
            stays = image.is_builtin or image.id in used or (only_untagged and image.tags)
            if not stays and passes(list_json(image)):
                try:
                    deleted += self.remove(image.id, force=True)
                except (Conflict, NotFound):
                    continue  # somebody has been faster
        return {"ImagesDeleted": deleted, "SpaceReclaimed": max(before - self._store.disk_bytes(), 0)}

    def remove(self, reference: str, *, force: bool) -> list[dict[str, str]]:
        """Untag an image, and delete it with its last tag."""
        untagged, deleted = self._store.remove(reference, force=force)
        return [*({"Untagged": name} for name in untagged), *({"Deleted": digest} for digest in deleted)]


def _named(image: StoredImage, reference: str) -> list[str]:
    """Return the names under which a reference asks for an image: none when it is asked for by an id or a digest."""
    full = full_name(reference)
    if not full or "@" in full:
        return []
    name = parse_image_ref(full).familiar
    return [name] if name in image.tags else []
