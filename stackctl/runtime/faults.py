"""Places at which tests let a process die: the steps of a change, each named where it has just been taken.

Off unless the engine was started with ``STACKCTL_FAULT=FILE``. Then each step passed is a line in FILE.trace, and
the process is killed at the step that FILE names, ``STEP#N`` for the Nth time that it is passed since the trace was
begun; FILE goes first, so that it happens once.
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
    end = os.lseek(trace, 0, os.SEEK_CUR)
    os.close(trace)
    try:
        with open(_plan, encoding="utf-8") as file:
            wanted = file.read()
    except FileNotFoundError:
        return
    if wanted.partition("#")[0] == step and wanted == f"{step}#{_times_passed(step, end)}":
        os.unlink(_plan)
        os.kill(os.getpid(), signal.SIGKILL)


def _times_passed(step: str, end: int) -> int:
    """Return how often ``step`` stands in the trace up to ``end``: whichever process passed it."""
    with open(f"{_plan}.trace", "rb") as file:
        return file.read(end).splitlines().count(step.encode())
