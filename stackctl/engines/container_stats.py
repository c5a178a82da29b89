"""What a container uses: processor, memory, processes, network. Read from the kernel when asked for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from stackctl.model.observed import ObservedContainer
from stackctl.runtime.kernel.cgroup import CgroupDriver, Usage
from stackctl.runtime.processes import cpu_ns_of

_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_COUNTED: Final = 8  # user nice system idle iowait irq softirq steal; the rest is in the first two


class Traffic(NamedTuple):
    """Counts of one interface since it is there: received and sent."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a container has used at one moment; ``host_cpu_ns`` is the time of all processors together."""

    time_ns: int
    usage: Usage
    host_cpu_ns: int
    processors: int
    memory_bytes: int
    traffic: dict[str, Traffic]


class ContainerStats:
    """Takes samples. Any thread may call any method."""

    def __init__(self, engine_id: str, driver: CgroupDriver) -> None:
        self._engine_id = engine_id
        self._driver = driver

    def sample(self, container: ObservedContainer) -> Sample:
        """Return what a running container has used until now."""
        usage = self._driver.usage(self._engine_id, container.id)
        if usage.cpu_ns < 0:  # not counted for the group: what its processes, and those they waited for, have used
            user_ns, system_ns = cpu_ns_of(container.id)
            usage = usage._replace(cpu_ns=user_ns + system_ns, user_ns=user_ns, system_ns=system_ns)
        processors = os.cpu_count() or 1
        return Sample(time.time_ns(), usage, _host_cpu_ns(), processors, _memory_bytes(), traffic_of(container.pid))


def _host_cpu_ns() -> int:
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()
    return sum(int(word) for word in words[1 : 1 + _COUNTED]) * _TICK_NS


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def traffic_of(pid: int) -> dict[str, Traffic]:
    """Return the counts of each interface but the loopback that a process sees; {} when it is gone."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.readlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, text = line.partition(":")
        counts = [int(word) for word in text.split()]
        if name.strip() != "lo" and len(counts) >= 12:
            found[name.strip()] = Traffic(*counts[:4], *counts[8:12])
    return found
