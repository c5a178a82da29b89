"""Running the interpreter from a sealed copy in memory.

Threat: until execve a container's process is this interpreter; a container that may trace it can open
/proc/PID/exe and write the host's file once nobody runs it (CVE-2019-5736). A sealed copy cannot be written.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

_F_ADD_SEALS: Final = 1033
_SEALS: Final = 0x0F  # seal, shrink, grow, write
_MEMFD: Final = "/memfd:"


def is_sealed() -> bool:
    """Say whether this process runs from such a copy."""
    return os.readlink("/proc/self/exe").startswith(_MEMFD)


def sealed_copy(path: str) -> int:
    """Return a descriptor of an immutable copy of an executable, -1 where a copy could not run.

    An executable that finds its libraries relative to itself ($ORIGIN) cannot. Raises OSError.
    """
    with open(path, "rb") as file:
        content = file.read()
    if b"$ORIGIN" in content:
        return -1
    fd = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd
