"""Who reads a container's output just now: what is removed after its end waits for them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Readers:
    """Counts readers by container. Any thread may call any method."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def enter(self, container_id: str) -> Callable[[], None]:
        """Count one more; what is returned takes it back, once."""
        with self._changed:
            self._counts[container_id] += 1
        is_left = threading.Lock()

        def leave() -> None:
            if is_left.acquire(blocking=False):
                with self._changed:
                    self._counts[container_id] -= 1
                    if not self._counts[container_id]:
                        del self._counts[container_id]
                    self._changed.notify_all()

        return leave

    @contextmanager
    def reading(self, container_id: str) -> Iterator[None]:
        """Count one more inside."""
        leave = self.enter(container_id)
        try:
            yield
        finally:
            leave()

    def wait_until_gone(self, container_id: str) -> None:
        """Return when nobody reads the container's output."""
        with self._changed:
            self._changed.wait_for(lambda: container_id not in self._counts)
