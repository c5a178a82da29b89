"""What an image store has on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from stackctl.images.store import ImageStore


def load(store: ImageStore, path: Path, platform: str = "") -> list[str]:
    """Load the archive ``path``; return the names of what came."""
    with path.open("rb") as stream:
        return [image.name for image in store.load(stream, platform)]


def kept(root: Path) -> dict[str, list[str]]:
    """Return the names of blobs, layers and temporary folders of the store below ``root``."""
    images = root / "images"
    return {
        "blobs": sorted(os.listdir(images / "blobs/sha256")),
        "layers": sorted(set(os.listdir(images / "layers")) - {"empty"}),
        "tmp": sorted(os.listdir(images / "tmp")),
    }


NOTHING: dict[str, list[str]] = {"blobs": [], "layers": [], "tmp": []}


def tree(store: ImageStore, reference: str) -> list[dict[str, bytes]]:
    """Return the regular files of each layer of an image, the lowest first."""
    found = store.resolve(reference)
    assert found is not None, f"{reference} is not in the store"
    return [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        for folder in store.layers_of(found.id)
    ]
