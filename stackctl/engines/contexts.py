"""Contexts of builds that clients have sent, until they are built or nobody comes for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final, NamedTuple

from stackctl.errors import NotFound
from stackctl.images.build.image_builds import ImageBuilds
from stackctl.images.chunks import Readable

_KEPT_S: Final = 3600.0


class _Sent(NamedTuple):
    folder: str
    held: ExitStack
    since_s: float


class Contexts:
    """Any thread may call any method. What a dead daemon had is swept away by the next one's store."""

    def __init__(self, builds: ImageBuilds) -> None:
        self._builds = builds
        self._lock = threading.Lock()
        self._sent: dict[str, _Sent] = {}

    def add(self, stream: Readable) -> str:
        """Take a context, a tar plain or compressed; return the name under which it is now. Raises ImageError."""
        self._drop_forgotten()
        with ExitStack() as held:
            folder = held.enter_context(self._builds.unpacked(stream))
            name = os.urandom(8).hex()
            with self._lock:
                self._sent[name] = _Sent(folder, held.pop_all(), time.monotonic())
        return name

    def folder(self, name: str) -> str:
        """Return the folder of a context. Raises NotFound."""
        with self._lock:
            found = self._sent.get(name)
        if found is None:
            raise NotFound("the build's context has not been sent", code="build-context-missing")
        return found.folder

    def drop(self, names: Iterable[str]) -> None:
        """Remove contexts; those that are not there need nothing."""
        for name in names:
            with self._lock:
                found = self._sent.pop(name, None)
            if found is not None:
                found.held.close()

    def _drop_forgotten(self) -> None:
        oldest_s = time.monotonic() - _KEPT_S
        with self._lock:
            forgotten = [name for name, sent in self._sent.items() if sent.since_s < oldest_s]
        self.drop(forgotten)
