"""Resource limits by the names Compose has for them."""

from __future__ import annotations

import resource
from collections.abc import Iterable
from typing import Final

from stackctl.model.container import Ulimit

NUMBERS: Final = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


def prepare(ulimits: Iterable[Ulimit]) -> tuple[tuple[int, int, int], ...]:
    """Return (number, soft, hard) for each. Raises ValueError, naming it, for an unknown or impossible one."""
    found = []
    for ulimit in ulimits:
        if ulimit.name not in NUMBERS:
            raise ValueError(f"unknown ulimit {ulimit.name!r}")
        hard = resource.RLIM_INFINITY if ulimit.hard < 0 else ulimit.hard
        soft = resource.RLIM_INFINITY if ulimit.soft < 0 else ulimit.soft
        is_above = hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard)
        if is_above:
            raise ValueError(
                f"ulimit {ulimit.name}: the soft limit {ulimit.soft} is above the hard limit {ulimit.hard}"
            )
        found.append((NUMBERS[ulimit.name], soft, hard))
    return tuple(found)
