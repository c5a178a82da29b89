"""Places at which tests let a process die: the steps of a change, each named where it has just been taken.

Off unless the engine was started with ``STACKCTL_FAULT=FILE``. Then each step passed is a line in FILE.trace, and
the process is killed at the step that FILE names; FILE goes first, so that it happens once.
"""

from __future__ import annotations

import os
import signal

_plan = ""


def arm(path: str) -> None:
    """Take part; "" takes no part."""
    global _plan
    _plan = path


def fault_point(step: str) -> None:
    """Note that ``step`` was taken, and die if the test says so."""
    if not _plan:
        return
    trace = os.open(f"{_plan}.trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(trace, step.encode() + b"\n")
    os.close(trace)
    try:
        with open(_plan, encoding="utf-8") as file:
            wanted = file.read()
    except FileNotFoundError:
        return
    if wanted == step:
        os.unlink(_plan)
        os.kill(os.getpid(), signal.SIGKILL)
