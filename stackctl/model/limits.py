"""Limits: what a container may use of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockMeasure = Literal["weight", "read_bps", "write_bps", "read_iops", "write_iops"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLimit:
    """A bound on one block device of the host, by its node; ``value`` is bytes or operations a second, or a weight."""

    measure: BlockMeasure
    device: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits; 0 or "" means unlimited or unset.

    ``memory_swap_bytes`` is memory plus swap, -1 for unlimited. ``cpu_quota_us`` of each ``cpu_period_us`` (0.1 s
    unless set) is another way to say ``nano_cpus``. ``swappiness`` is 0..100, -1 for the machine's. ``block_weight``
    is 10..1000.
    """

    nano_cpus: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpu_shares: int = 0
    cpu_rt_runtime_us: int = 0
    cpu_rt_period_us: int = 0
    cpuset: str = ""
    cpuset_mems: str = ""
    memory_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swap_bytes: int = 0
    swappiness: int = -1
    oom_kill_disable: bool = False
    pids: int = 0
    block_weight: int = 0
    block: tuple[BlockLimit, ...] = ()
