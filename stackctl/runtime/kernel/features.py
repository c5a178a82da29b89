"""What newer kernels offer and older ones lack. For each there is another way, found out by trying.

``STACKCTL_WITHOUT=name,name`` in the environment of an engine forces that other way, so that tests on a new kernel
go it too.
"""

from __future__ import annotations

from typing import Final

from stackctl.errors import EngineError

PIDFD_INFO: Final = "pidfd_info"
PIDFD_INODE: Final = "pidfd_inode"
SPLICE: Final = "splice"
CGROUP_KILL: Final = "cgroup_kill"

FEATURES: Final = {
    PIDFD_INFO: "exit codes asked of a pidfd (Linux 6.15); else read in the keeper's journal",
    PIDFD_INODE: "processes told apart for good by their pidfd's inode (6.9); else by their time of start",
    SPLICE: "logs moved inside the kernel; else read and written, as terminals and some file systems need",
    CGROUP_KILL: "a cgroup's processes killed by one write (5.14); else one by one",
}
"""Name -> what it is for, since when, and what happens without it."""


def parse_without(text: str) -> frozenset[str]:
    """Read the value of ``STACKCTL_WITHOUT``. Raises EngineError for a name that is none."""
    names = frozenset(filter(None, text.split(",")))
    unknown = sorted(names - FEATURES.keys())
    if unknown:
        raise EngineError(
            f"STACKCTL_WITHOUT names {unknown[0]!r}, which is no feature",
            code="unknown-feature",
            hint=f"there are {', '.join(FEATURES)}",
        )
    return names
