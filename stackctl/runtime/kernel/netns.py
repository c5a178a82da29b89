"""Network namespaces: step into one and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stackctl.runtime.kernel.libc import CLONE_NEWNET, setns, unshare

_OWN: Final = "/proc/thread-self/ns/net"


def open_netns(pid: int) -> int:
    """Return a close-on-exec descriptor of the network namespace of ``pid``. Raises OSError."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def in_netns(fd: int) -> Iterator[None]:
    """Be in the network namespace ``fd`` for the length of the block, and only this thread.

    Whatever the block raises, the caller is back where it was afterwards. Were the way back barred,
    everything done later would hit the wrong machine, so the process ends instead. Raises OSError when ``fd``
    cannot be entered.
    """
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _return_to(own)
    finally:
        os.close(own)


def make_netns() -> int:
    """Make a network namespace and return its descriptor; the namespace ends when nothing refers to it.

    Raises OSError.
    """
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _return_to(own)
    finally:
        os.close(own)


def _return_to(own: int) -> None:
    try:
        setns(own, CLONE_NEWNET)
    except OSError:
        os.write(2, b"cannot return to the own network namespace\n")
        os.abort()
