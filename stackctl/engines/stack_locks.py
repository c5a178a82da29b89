"""Locks of stacks within one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stackctl.engines.hosting import Emit


def waiting(project: str) -> dict[str, str]:
    """Return the event that says that somebody else holds the lock."""
    return {"event": "waiting", "detail": f"another command changes stack {project}"}


class ThreadLocks:
    """One lock a stack. Any thread may call."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def locked(self, project: str, emit: Emit) -> Iterator[None]:
        """See ``hosting.StackLocks``."""
        with self._guard:
            lock = self._locks.setdefault(project, threading.Lock())
        if not lock.acquire(blocking=False):
            emit(waiting(project))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
