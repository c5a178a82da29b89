"""Where a build works: its temporary folder, the steps that were done before, the layers it makes.

A step is there once its layer is on the disk and its row is written, in that order: a build that dies leaves what it
had done, and nothing half made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from stackctl.images import disk, layers
from stackctl.images.disk import EMPTY_LAYER, StoreFiles
from stackctl.images.index import Index, StepRow
from stackctl.images.layers import LayerFacts
from stackctl.images.snapshot import take_snapshot

CACHE_BYTES: Final = 10 * 1000**3
"""Layers of steps are kept up to this sum; those used least lately go first."""


class Workshop:
    """One build's place in the store. ``folder`` is temporary; ``now_ns`` is the time."""

    def __init__(self, files: StoreFiles, index: Index, folder: str, now_ns: Callable[[], int]) -> None:
        self._files = files
        self._index = index
        self.folder = folder
        self.now_ns = now_ns
        self._count = 0

    def new_folder(self, kind: str) -> str:
        """Return the path of a new, empty folder. Raises OSError."""
        path = self.new_path(kind)
        os.mkdir(path, 0o755)
        return path

    def new_path(self, kind: str) -> str:
        """Return a path at which nothing is yet."""
        self._count += 1
        return f"{self.folder}/{kind}-{self._count}"

    def lasting_folder(self, name: str) -> str:
        """Return a folder that outlives the build: for ``RUN --mount=type=cache``. Raises OSError."""
        path = f"{self._files.top}/build-cache/{name}"
        os.makedirs(path, 0o755, exist_ok=True)
        return path

    def layer_path(self, diff_id: str) -> str:
        """Return the folder of a layer, as overlayfs stacks it."""
        return f"{self._files.layer(diff_id)}/fs"

    @property
    def empty_layer(self) -> str:
        """An empty folder to stand under everything: overlayfs wants one at least."""
        return f"{self._files.layers}/{EMPTY_LAYER}/fs"

    def find_step(self, key: str) -> StepRow | None:
        """Return a step that was done before and whose layer is there. Raises ImageError, sqlite3.Error."""
        row = self._index.step(key)
        if row is None or (row.diff_id and layers.find(self._files, row.diff_id) is None):
            return None
        self._index.keep_step(row, now_ns=self.now_ns())
        return row

    def keep_step(self, key: str, upper: str) -> StepRow:
        """Make a layer of the folder ``upper``, "" when nothing changed, and keep it under ``key``.

        Raises OSError, ImageError, sqlite3.Error.
        """
        made = self._publish(upper) if upper else LayerFacts("", "", 0)
        row = StepRow(key, made.diff_id, made.blob, made.size_bytes, self.now_ns())
        self._index.keep_step(row, now_ns=row.created_ns)
        return row

    def _publish(self, upper: str) -> LayerFacts:
        made = take_snapshot(upper, self.folder, self.new_path("tar"))
        with layers.adding(self._files, (made,), self.folder) as missing:
            if missing:
                disk.sync_file_system(self.folder)
                layers.publish(self._files, missing, self.folder)
                disk.sync_folder(self._files.blobs)
                disk.sync_folder(self._files.layers)
        facts = layers.find(self._files, made.diff_id)
        # Another image may have brought the same layer, in another blob.
        return facts or LayerFacts(made.diff_id, made.blob, 0)
