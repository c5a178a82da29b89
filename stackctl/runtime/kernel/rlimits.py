"""Resource limits by the names Compose has for them."""

from __future__ import annotations

import resource
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


def prepare(ulimit: Ulimit) -> tuple[int, int, int]:
    """Return (number, soft, hard). Raises ValueError, naming it, for an unknown or impossible one."""
    if ulimit.name not in NUMBERS:
        raise ValueError(f"unknown ulimit {ulimit.name!r}")
    hard = resource.RLIM_INFINITY if ulimit.hard < 0 else ulimit.hard
    soft = resource.RLIM_INFINITY if ulimit.soft < 0 else ulimit.soft
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        raise ValueError(f"ulimit {ulimit.name}: the soft limit {ulimit.soft} is above the hard limit {ulimit.hard}")
    return NUMBERS[ulimit.name], soft, hard
