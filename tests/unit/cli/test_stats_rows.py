"""What a container uses, in the words of Docker's `stats`."""

from __future__ import annotations

from typing import Any

from stackctl.cli.render.stats import row_of, row_text


def _sample(used: int, passed: int) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": passed, "online_cpus": 4},
        "memory_stats": {"usage": 3 << 20, "limit": 64 << 20, "stats": {"total_inactive_file": 1 << 20}},
        "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 0}, "eth1": {"rx_bytes": 500, "tx_bytes": 999}},
        "blkio_stats": {
            "io_service_bytes_recursive": [{"op": "Read", "value": 2_000_000}, {"op": "write", "value": 5}]
        },
        "pids_stats": {"current": 7},
    }


def test_two_samples_make_a_row() -> None:
    row = row_of("f" * 64, "web", _sample(300, 2000), _sample(100, 1000))

    assert row_text(row) == {
        "Container": "web",
        "ID": "f" * 12,
        "Name": "web",
        "CPUPerc": "80.00%",
        "MemUsage": "2MiB / 64MiB",
        "MemPerc": "3.12%",
        "NetIO": "2kB / 999B",
        "BlockIO": "2MB / 5B",
        "PIDs": "7",
    }


def test_one_that_does_not_run_has_nothing() -> None:
    row = row_of("f", "web", {"memory_stats": {}, "cpu_stats": {"cpu_usage": {}}, "blkio_stats": None}, {})

    assert row_text(row)["MemUsage"] == "0B / 0B"
    assert row_text(row)["CPUPerc"] == "0.00%"
