"""The results as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

Samples = Mapping[str, Mapping[str, Sequence[float]]]  # value's name → side's name → one value a run


def machine_facts() -> list[str]:
    """Return what a reader must know of the machine; nothing that names it."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return [f"{os.cpu_count()} CPUs ({cpu})", f"{memory_kib / 1048576:.0f} GiB", f"Linux {platform.release()}"]


def markdown(samples: Samples, units: Mapping[str, str], *, versions: Sequence[str], load: float) -> str:
    """Return a table of medians (least to greatest) and ratios, ours to the peer's."""
    facts = [*machine_facts(), *versions, f"load average before the run {load:.1f}"]
    return "\n".join([f"{'; '.join(facts)}.", "", *_rows(samples, units), ""])


def _rows(samples: Samples, units: Mapping[str, str]) -> Iterator[str]:
    yield "| measure | stackctl | docker | ratio |"
    yield "|---|---|---|---|"
    for name, sides in samples.items():
        ours, peer = sides.get("stackctl", ()), sides.get("docker", ())
        yield f"| {name} | {_cell(ours, units[name])} | {_cell(peer, units[name])} | {_ratio(ours, peer)} |"


def _cell(values: Sequence[float], unit: str) -> str:
    if not values:
        return "—"
    middle = f"{_number(median(values))} {unit}".strip()
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _ratio(ours: Sequence[float], peer: Sequence[float]) -> str:
    if not ours or not peer or median(peer) == 0:
        return "—"
    ratio = median(ours) / median(peer)
    return f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")
