"""What a container uses, in the words of Docker's `stats`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

HEAD: Final = (
    "CONTAINER ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "NET I/O",
    "BLOCK I/O",
    "PIDS",
)
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL: Final = ("B", "kB", "MB", "GB", "TB", "PB")


class Row(NamedTuple):
    """One container's numbers; ``limit_bytes`` 0 for one that does not run."""

    id: str
    name: str
    cpu_percent: float
    memory_bytes: int
    limit_bytes: int
    net: tuple[int, int]
    block: tuple[int, int]
    pids: int


def row_of(container_id: str, name: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> Row:
    """Read two samples as the API gives them."""
    memory = now.get("memory_stats") or {}
    cache = (memory.get("stats") or {}).get("total_inactive_file", 0)
    usage = memory.get("usage", 0)
    networks = (now.get("networks") or {}).values()
    return Row(
        id=container_id,
        name=name,
        cpu_percent=_cpu_percent(now.get("cpu_stats") or {}, before.get("cpu_stats") or {}),
        memory_bytes=usage - cache if cache < usage else usage,
        limit_bytes=memory.get("limit", 0),
        net=(sum(one["rx_bytes"] for one in networks), sum(one["tx_bytes"] for one in networks)),
        block=_block(now.get("blkio_stats") or {}),
        pids=(now.get("pids_stats") or {}).get("current", 0),
    )


def row_text(row: Row) -> dict[str, str]:
    """Return the fields of Docker's JSON, those of the table last and in its order."""
    percent = 100 * row.memory_bytes / row.limit_bytes if row.limit_bytes else 0.0
    return {
        "Container": row.name,
        "ID": row.id[:12],
        "Name": row.name,
        "CPUPerc": f"{row.cpu_percent:.2f}%",
        "MemUsage": f"{_size(row.memory_bytes, 1024, _BINARY, 4)} / {_size(row.limit_bytes, 1024, _BINARY, 4)}",
        "MemPerc": f"{percent:.2f}%",
        "NetIO": " / ".join(_size(count, 1000, _DECIMAL, 3) for count in row.net),
        "BlockIO": " / ".join(_size(count, 1000, _DECIMAL, 3) for count in row.block),
        "PIDs": str(row.pids),
    }


def _cpu_percent(now: Mapping[str, Any], before: Mapping[str, Any]) -> float:
    used = _used(now) - _used(before)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    if not before or used <= 0 or passed <= 0:
        return 0.0
    return float(used / passed * now.get("online_cpus", 1) * 100)


def _used(cpu: Mapping[str, Any]) -> int:
    return int((cpu.get("cpu_usage") or {}).get("total_usage", 0))


def _block(blkio: Mapping[str, Any]) -> tuple[int, int]:
    entries = blkio.get("io_service_bytes_recursive") or []
    counts = [sum(entry["value"] for entry in entries if entry["op"][:1].lower() == kind) for kind in "rw"]
    return counts[0], counts[1]


def _size(count: int, base: int, units: Sequence[str], digits: int) -> str:
    """Return a number of bytes with so many significant digits, and without needless zeroes."""
    value, at = float(count), 0
    while value >= base and at < len(units) - 1:
        value, at = value / base, at + 1
    return f"{value:.{digits}g}{units[at]}"
