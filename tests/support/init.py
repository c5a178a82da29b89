"""An init for the tests: whoever loses his parent comes to it, and is reaped at once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


def go_on_below_an_init() -> None:
    """Go on in a child, and reap in the parent until that child ends.

    Orphans are keepers, and containers whose keeper was killed. The kernel has their exit codes for others only once
    somebody has reaped them; the machine's own process 1 may take its time, and in a container it may be the tests.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tests = os.fork()
    if not tests:
        return
    # Ctrl-C goes to both: the tests end by it, and we with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end(tests))
    while True:
        pid, status = os.wait()
        if pid == tests:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _end(tests: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(tests, signal.SIGTERM)
