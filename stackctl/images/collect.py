"""Removal of layers and blobs that no image uses: after an image goes, and of what a dead process left."""

from __future__ import annotations

import os
from contextlib import suppress

from stackctl.images import disk
from stackctl.images.disk import EMPTY_LAYER, StoreFiles
from stackctl.images.index import Index


def collect(files: StoreFiles, index: Index) -> bool:
    """Remove what no image uses; return whether it could be done now.

    Whoever adds images holds the sweep lock together with others; then nothing is removed, and the next call
    does it. What goes is renamed away first, so that a layer is never seen in part. Raises OSError,
    sqlite3.Error.
    """
    with disk.temporary_folder(files) as trash:
        with disk.if_alone(files.sweep_lock) as is_alone:
            if not is_alone:
                return False
            diff_ids, blobs = index.used()
            layers = {os.path.basename(files.layer(diff_id)) for diff_id in diff_ids} | {EMPTY_LAYER}
            _move(files.layers, layers, trash)
            _move(files.blobs, {blob.removeprefix("sha256:") for blob in blobs}, trash)
        # The unlinking, when the temporary folder goes, keeps nobody waiting.
        return True


def _move(folder: str, keep: set[str], trash: str) -> None:
    for name in os.listdir(folder):
        if name not in keep:
            with suppress(FileNotFoundError):
                os.rename(f"{folder}/{name}", f"{trash}/{name}")
