"""Exit codes of processes whose parent, the supervisor, died before them."""

from __future__ import annotations

import select
import time
from typing import Final

from stackctl.runtime.kernel.process import exit_code, exit_status

_PAUSE_S: Final = 0.005
_GIVE_UP_S: Final = 2.0
_UNKNOWN: Final = 255


def wait_for_code(pidfd: int) -> int:
    """Wait for the process and return its exit code, 255 where the kernel does not tell (before Linux 6.15)."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll()
    deadline = time.monotonic() + _GIVE_UP_S
    # It is there only once the keeper has reaped.
    while (status := exit_status(pidfd)) is None:
        if time.monotonic() > deadline:
            return _UNKNOWN
        time.sleep(_PAUSE_S)
    return exit_code(status)
