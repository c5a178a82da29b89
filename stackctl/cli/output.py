"""Writing bytes to standard streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import IO

WriteBytes = Callable[[bytes], object]


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``. Raises BrokenPipeError when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # the terminal is shared with a program that made it non-blocking
            import select  # rare

            select.select([], [fd], [])


def unbuffered(stream: IO[str]) -> WriteBytes:
    """Return a writer below ``stream``'s buffer.

    Daemon threads may be writing when the process exits; holding the lock of a buffered stream then, they
    would make the interpreter abort.
    """
    stream.flush()
    try:
        fd = stream.fileno()
    except (OSError, ValueError):  # a stream of a test

        def write(data: bytes) -> None:
            stream.write(data.decode("utf-8", "replace"))

        return write
    return lambda data: write_all(fd, data)


def standard_output() -> WriteBytes:
    """Return the unbuffered writer of standard output."""
    return unbuffered(sys.stdout)
