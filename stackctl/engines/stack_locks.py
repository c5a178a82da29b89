"""Locks of stacks: within one process, and between those of one user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stackctl.engines.hosting import Emit
from stackctl.errors import PrivilegeError


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


class FileLocks:
    """One file a stack of an engine, below a folder that only its owner may write to. The files stay.

    Whoever drives the engine from another machine, or as another user, is not kept out: of two such, the engine
    refuses what no longer fits the plan of one of them.
    """

    def __init__(self, folder: str, engine_id: str) -> None:
        self._folder = folder
        self._engine_id = engine_id

    @contextmanager
    def locked(self, project: str, emit: Emit) -> Iterator[None]:
        """See ``hosting.StackLocks``. Raises PrivilegeError when the folder is somebody else's."""
        descriptor = self._opened(project)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                emit(waiting(project))
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _opened(self, project: str) -> int:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        if os.stat(self._folder, follow_symlinks=False).st_uid != os.geteuid():
            raise PrivilegeError(f"{self._folder} is somebody else's: locks cannot be kept there")
        engine = hashlib.sha256(self._engine_id.encode()).hexdigest()[:12]
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(f"{self._folder}/{engine}-{project}.lock", flags, 0o600)
