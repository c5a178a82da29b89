"""``GET /containers/{id}/stats``. Source: Docker Engine API 1.51."""

from __future__ import annotations

import json
import select
import time
from typing import Any, Final

from stackctl.api.connection import Connection, Request
from stackctl.api.routing import Answer, Route
from stackctl.engines.console import LocalConsole
from stackctl.engines.container_stats import ContainerStats, Sample
from stackctl.errors import NotFound
from stackctl.model.observed import ObservedContainer
from stackctl.runtime.kernel.cgroup import Usage

Arguments = dict[str, str]
_CYCLE_S: Final = 1.0
_NS: Final = 1_000_000_000
_NEVER: Final = "0001-01-01T00:00:00Z"
_NOTHING: Final = Sample(0, Usage(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, {})


class StatsRoutes:
    """``/containers/{id}/stats``."""

    def __init__(self, console: LocalConsole, stats: ContainerStats) -> None:
        self._console = console
        self._stats = stats

    def routes(self) -> list[Route]:
        """Return the table."""
        return [Route("GET", "/containers/{id}/stats", self._answer)]

    def _answer(self, request: Request, connection: Connection, arguments: Arguments) -> Answer | None:
        container = self._console.find(arguments["id"])
        if "stream" in request.query and not request.flag("stream"):
            before = self._sample(container)
            if request.flag("one-shot") or before is _NOTHING:
                return Answer(200, stats_json(container, before, _NOTHING))
            _is_gone_after(connection, _CYCLE_S)
            return Answer(200, stats_json(container, self._sample(self._console.find(container.id)), before))
        self._stream(connection, container)
        return None

    def _stream(self, connection: Connection, container: ObservedContainer) -> None:
        connection.begin_stream("application/json")
        before = _NOTHING
        while True:
            now = self._sample(container)
            text = json.dumps(stats_json(container, now, before), separators=(",", ":"))
            connection.stream(text.encode() + b"\n")
            before = now
            if _is_gone_after(connection, _CYCLE_S):
                return
            try:
                container = self._console.find(container.id)
            except NotFound:
                connection.end_stream()
                return

    def _sample(self, container: ObservedContainer) -> Sample:
        return self._stats.sample(container) if container.pid else _NOTHING


def _is_gone_after(connection: Connection, seconds: float) -> bool:
    """Wait, and say whether the client has left meanwhile."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLRDHUP)
    return bool(poller.poll(seconds * 1000))


def stats_json(container: ObservedContainer, now: Sample, before: Sample) -> dict[str, Any]:
    """Return one sample; ``before`` is what clients take differences to. Pure."""
    usage = now.usage
    shape: dict[str, Any] = {
        "name": f"/{container.name}",
        "id": container.id,
        "read": _time(now.time_ns),
        "preread": _time(before.time_ns),
        "num_procs": 0,
        "pids_stats": {"current": usage.pids, "limit": usage.pids_limit} if now.time_ns else {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before),
        "memory_stats": {},
        "blkio_stats": _io(usage),
        "storage_stats": {},
    }
    if now.time_ns:
        cache = usage.inactive_bytes
        shape["memory_stats"] = {
            "usage": usage.memory_bytes,
            "limit": usage.memory_limit_bytes or now.memory_bytes,
            "stats": {"inactive_file": cache, "total_inactive_file": cache},
        }
        shape["networks"] = {name: counts._asdict() for name, counts in now.traffic.items()}
    return shape


def _cpu(sample: Sample) -> dict[str, Any]:
    usage = sample.usage
    shape: dict[str, Any] = {
        "cpu_usage": {
            "total_usage": usage.cpu_ns,
            "usage_in_kernelmode": usage.system_ns,
            "usage_in_usermode": usage.user_ns,
        },
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    if sample.time_ns:
        shape |= {"system_cpu_usage": sample.host_cpu_ns, "online_cpus": sample.processors}
    return shape


def _io(usage: Usage) -> dict[str, Any]:
    counts = (("read", usage.read_bytes), ("write", usage.written_bytes))
    entries = [{"major": 0, "minor": 0, "op": name, "value": value} for name, value in counts if value]
    return {"io_service_bytes_recursive": entries or None}


def _time(ns: int) -> str:
    if not ns:
        return _NEVER
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // _NS)) + f".{ns % _NS:09d}Z"
