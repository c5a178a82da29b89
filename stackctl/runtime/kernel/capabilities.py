"""Capabilities: names and numbers, Docker's default set, and the calls that give them up."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from stackctl.runtime.kernel.libc import (
    NR_CAPSET,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_DROP,
    prctl,
    syscall,
)

NAMES: Final = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE
    """.split()
"""Every capability's name; its place is its number."""

NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}
DEFAULT: Final = frozenset(
    """
        CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
        SYS_CHROOT KILL AUDIT_WRITE
        """.split()
)
_VERSION_3: Final = 0x20080522


def resolve(add: Iterable[str], drop: Iterable[str], is_privileged: bool) -> frozenset[str]:
    """Return the capabilities held: the default ones, more those added, less those dropped, as Docker counts.

    Names are taken with or without ``CAP_``, in any case; ``ALL`` means every one this machine has; dropping
    ALL and adding some leaves those. Raises ValueError, naming it, for an unknown one or one this machine lacks.
    """
    available = _available()
    if is_privileged:
        return available
    added, dropped = _parse(add, available), _parse(drop, available)
    held = set() if "ALL" in dropped else set(DEFAULT)
    if "ALL" in added:
        held = set(available)
    missing = sorted(added - available - {"ALL"})
    if missing:
        raise ValueError(f"capability {missing[0]} is not available on this machine")
    held |= added - {"ALL"}
    return frozenset((held - (dropped - {"ALL"})) & available)


def _parse(names: Iterable[str], available: frozenset[str]) -> set[str]:
    found = set()
    for written in names:
        name = written.upper().removeprefix("CAP_")
        if name != "ALL" and name not in NUMBERS and name not in available:
            raise ValueError(f"unknown capability {written!r}")
        found.add(name)
    return found


@lru_cache(maxsize=1)
def _available() -> frozenset[str]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                bounding = int(line.split()[1], 16)
                return frozenset(name for name, number in NUMBERS.items() if bounding >> number & 1)
    return frozenset(NAMES)


def mask(names: Iterable[str]) -> int:
    """Return the names as a bit mask."""
    return sum(1 << NUMBERS[name] for name in set(names))


def clear_ambient() -> None:
    """Empty the ambient set: inherited capabilities would survive into programs of any user."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def drop_bounding(keep: int) -> None:
    """Drop every capability outside the mask ``keep`` from the bounding set. Needs SETPCAP."""
    for number in range(_last()):
        if not keep >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


@lru_cache(maxsize=1)
def _last() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read()) + 1


def read_kernel_limits() -> None:
    """Read what ``drop_bounding`` needs while /proc is the host's; call it before cloning."""
    _last()


def set_caps(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's three sets, by mask. Source: capset(2)."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    sets = (ctypes.c_uint32 * 6)(
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> high,
        permitted >> high,
        inheritable >> high,
    )
    syscall(NR_CAPSET, ctypes.byref(header), ctypes.byref(sets), what="capset")
