"""What both versions of control groups make of limits: numbers of devices, and processor time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from typing import Final

from stackctl.errors import EngineError
from stackctl.model.limits import BlockLimit, Limits

_PERIOD_US: Final = 100_000


def cpu_time(limits: Limits) -> tuple[int, int]:
    """Return (quota, period) in microseconds; a quota of 0 is none. Pure."""
    period = limits.cpu_period_us or _PERIOD_US
    if limits.nano_cpus:
        return limits.nano_cpus * period // 1_000_000_000, period
    return max(0, limits.cpu_quota_us), period


def device_number(path: str) -> str:
    """Return ``MAJOR:MINOR`` of a block device. Raises EngineError."""
    try:
        status = os.stat(path)
    except OSError as error:
        message = f"cannot limit device {path}: {error.strerror}"
        raise EngineError(message, code="device-missing", field="limits.blkio") from error
    if not stat.S_ISBLK(status.st_mode):
        raise EngineError(f"cannot limit {path}: it is no block device", code="device-missing", field="limits.blkio")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def no_weight(what: str) -> str:
    """Return what is told where the kernel shares out no block I/O."""
    return f"{what} has no effect: the kernel of this machine does not share out block I/O by weight"


_V2_WORDS: Final = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}


def io_max_lines(numbers: Mapping[str, str], block: Iterable[BlockLimit], present: str) -> list[str]:
    """Return what to write into ``io.max`` whose content is ``present``: all is as in ``block`` afterwards. Pure.

    ``numbers`` has the number of each device. Source: cgroup-v2.rst, "IO Interface Files".
    """
    wanted = {line.split()[0]: dict.fromkeys(_V2_WORDS.values(), "max") for line in present.splitlines() if line}
    for limit in block:
        if limit.measure in _V2_WORDS:
            line = wanted.setdefault(numbers[limit.device], dict.fromkeys(_V2_WORDS.values(), "max"))
            line[_V2_WORDS[limit.measure]] = str(limit.value)
    return [
        f"{number} {' '.join(f'{word}={value}' for word, value in line.items())}" for number, line in wanted.items()
    ]


def throttle_lines(numbers: Mapping[str, str], block: Iterable[BlockLimit], measure: str, present: str) -> list[str]:
    """Return what to write into version 1's file for one measure; 0 takes a bound away. Pure.

    Source: cgroup-v1/blkio-controller.rst.
    """
    wanted = {line.split()[0]: 0 for line in present.splitlines() if line}
    wanted |= {numbers[limit.device]: limit.value for limit in block if limit.measure == measure}
    return [f"{number} {value}" for number, value in wanted.items()]


def io_weight(weight: int) -> int:
    """Turn a weight of 10..1000 into one of 1..10000, as runc does; 100 for none. Pure."""
    return 1 + (max(10, min(weight, 1000)) - 10) * 9999 // 990 if weight else 100
