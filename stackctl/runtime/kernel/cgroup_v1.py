"""Control groups, version 1: one hierarchy a controller.

Joining costs an RCU grace period (some 6 ms) for the first hierarchy a process joins after a pause, and almost
nothing for the next ones; making a group costs 0.2 ms in each. So only the hierarchies are joined that limits,
their live change and the device rules need: cpu, memory, pids, devices; cpuset when it is asked for.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Iterable, Mapping
from typing import Final

from stackctl.errors import EngineError
from stackctl.model.limits import BlockLimit, Limits
from stackctl.runtime.kernel.cgroup import (
    LIMIT_FIELDS,
    Joins,
    Usage,
    await_text,
    group_path,
    groups_below,
    pids,
    read,
    read_counts,
    read_number,
    remove_folder,
    write,
    write_each,
)
from stackctl.runtime.kernel.cgroup_limits import cpu_time, device_number, no_weight, throttle_lines
from stackctl.runtime.kernel.devices import DeviceRule

_ALWAYS: Final = ("cpu", "memory", "pids", "devices")
_WHEN_ASKED: Final = ("cpuset", "blkio")
# Java takes a container for one, and keeps to its memory, only where these are to be seen, too.
_SHARED: Final = ("cpuset", "cpuacct")
_THROTTLES: Final = ("read_bps", "write_bps", "read_iops", "write_iops")
_KILL_ROUNDS: Final = 50
_MOVE_ROUNDS: Final = 100
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT_BYTES: Final = 1 << 62
_UNLIMITED_MEMORY: Final = "-1"
_DEFAULT_SHARES: Final = 1024
_DEFAULT_WEIGHT: Final = 100
_RT_PERIOD_US: Final = 1_000_000


class V1Driver:
    """Groups named ``PATH``, the same in each hierarchy; ``mounts`` maps controllers to mount points."""

    is_v2 = False

    def __init__(self, mounts: Mapping[str, str]) -> None:
        self._mounts = dict(mounts)
        self._fresh: set[str] = set()

    def create(self, engine_id: str, container_id: str) -> str:
        """Make the container's group in every hierarchy we join; harmless when it exists."""
        group = group_path(engine_id, container_id)
        if not any(os.path.isdir(self._folder(controller, group)) for controller in self._joined(group)):
            self._fresh.add(group)
        for controller in self._joined(group):
            os.makedirs(self._folder(controller, group), 0o755, exist_ok=True)
        for controller in self._shared(group):
            if not os.path.isdir(folder := self._folder(controller, os.path.dirname(group))):
                os.makedirs(folder, 0o755, exist_ok=True)
                if controller == "cpuset":
                    self._hand_down_cpuset(os.path.dirname(group))
        return group

    def find(self, engine_id: str, container_id: str) -> str:
        """Return the container's group."""
        return group_path(engine_id, container_id)

    def apply_limits(self, group: str, limits: Limits) -> list[str]:
        """Set every limit; 0 means none. Return what has no effect here.

        Raises EngineError for one that this machine cannot set.
        """
        quota, period = cpu_time(limits)
        has_quota = bool(quota or limits.cpu_period_us)
        # Order: a quota set before may be too small a part of a longer period.
        self._set("cpu", group, "cpu.cfs_quota_us", "-1", needed=False)
        self._set("cpu", group, "cpu.cfs_period_us", str(period), needed=has_quota)
        self._set("cpu", group, "cpu.cfs_quota_us", str(quota or -1), needed=has_quota)
        self._set("cpu", group, "cpu.shares", str(limits.cpu_shares or _DEFAULT_SHARES), needed=bool(limits.cpu_shares))
        self._set("pids", group, "pids.max", str(limits.pids) if limits.pids > 0 else "max", needed=limits.pids > 0)
        self._set_memory(group, limits)
        self._set_real_time(group, limits)
        if limits.cpuset or limits.cpuset_mems:
            self._set_cpuset(group, limits)
        told = self._set_block(group, limits)
        self._fresh.discard(group)
        return told

    def apply_devices(self, group: str, rules: Iterable[DeviceRule], is_privileged: bool) -> None:
        """Allow only what these rules do; a privileged container all."""
        folder = self._folder("devices", group)
        if "devices" not in self._mounts:
            return
        if is_privileged:
            write(f"{folder}/devices.allow", "a")
            return
        # Order: deny all before the container's first process is in the group, then allow one by one.
        write(f"{folder}/devices.deny", "a")
        write_each(f"{folder}/devices.allow", map(str, rules))

    def join_fds(self, group: str) -> Joins:
        """Open the files a process writes "0" to."""
        opened: list[int] = []
        with contextlib.ExitStack() as undo:
            folders = [self._folder(controller, group) for controller in self._joined(group)]
            folders += [self._folder(controller, os.path.dirname(group)) for controller in self._shared(group)]
            for folder in folders:
                path = f"{folder}/cgroup.procs"
                with contextlib.suppress(FileNotFoundError):
                    opened.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
                    undo.callback(os.close, opened[-1])
            undo.pop_all()
        return Joins(tuple(opened))

    def binds(self, group: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return (group's folder, name) of what a container sees under /sys/fs/cgroup."""
        folders = [(self._folder(name, group), name) for name in self._joined(group)]
        folders += [(self._folder(name, os.path.dirname(group)), name) for name in self._shared(group)]
        return tuple((folder.encode(), name.encode()) for folder, name in folders)

    def kill_all(self, engine_id: str, container_id: str) -> None:
        """SIGKILL to every process of the group until none is left."""
        folder = self._folder("devices", group_path(engine_id, container_id))
        for _ in range(_KILL_ROUNDS):
            found = pids(folder)
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def freeze(self, engine_id: str, container_id: str) -> None:
        """Stop every process of the group. Raises EngineError; then none is. Source: cgroup-v1/freezer-subsystem.rst.

        The group in this hierarchy is made, and joined, only now: most containers are never frozen.
        """
        if "freezer" not in self._mounts:
            raise EngineError("cannot freeze: no cgroup controller freezer", code="freeze")
        group = group_path(engine_id, container_id)
        frozen = self._folder("freezer", group)
        os.makedirs(frozen, 0o755, exist_ok=True)
        try:
            self._move_all(self._folder("devices", group), frozen)
            write(f"{frozen}/freezer.state", "FROZEN")
        except OSError as error:
            raise EngineError(f"cannot freeze: {error.strerror}", code="freeze") from error
        if not await_text(f"{frozen}/freezer.state", "FROZEN"):
            self.thaw(engine_id, container_id)
            raise EngineError("cannot freeze: a process cannot be stopped now", code="freeze")

    def _move_all(self, source: str, target: str) -> None:
        """Move processes until all are in ``target``: one that is moved may just have made another."""
        for _ in range(_MOVE_ROUNDS):
            missing = set(pids(source)) - set(pids(target))
            if not missing:
                return
            for pid in missing:
                with contextlib.suppress(ProcessLookupError):
                    write(f"{target}/cgroup.procs", str(pid))

    def thaw(self, engine_id: str, container_id: str) -> None:
        """Let the group's processes go on; harmless when they do."""
        with contextlib.suppress(OSError):
            write(f"{self._folder('freezer', group_path(engine_id, container_id))}/freezer.state", "THAWED")

    def oom_kills(self, engine_id: str, container_id: str) -> int:
        """Return how many processes were killed for want of memory."""
        text = read(f"{self._folder('memory', group_path(engine_id, container_id))}/memory.oom_control")
        counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        return int(counts.get("oom_kill", 0))

    def remove(self, engine_id: str, container_id: str) -> None:
        """Remove the container's group; harmless when it is gone."""
        group = group_path(engine_id, container_id)
        for controller in self._mounts:
            remove_folder(self._folder(controller, group))
        # The engine's own group in this hierarchy is there for paused containers alone.
        with contextlib.suppress(OSError):
            os.rmdir(self._folder("freezer", group_path(engine_id)))

    def sweep(self, engine_id: str, *, keep: set[str]) -> None:
        """Kill and remove every group of the engine but those to keep."""
        top = group_path(engine_id)
        found = {name for controller in self._mounts for name in groups_below(self._folder(controller, top))}
        for stray in found - keep:
            self.kill_all(engine_id, stray)
            self.remove(engine_id, stray)

    def remove_engine(self, engine_id: str) -> None:
        """Remove the engine's own group, which has none below any more."""
        for controller in self._mounts:
            remove_folder(self._folder(controller, group_path(engine_id)))

    def usage(self, engine_id: str, container_id: str) -> Usage:
        """Return what the group has used. Processor time is counted where cpuacct is mounted with cpu, as is usual."""
        group = group_path(engine_id, container_id)
        cpu, memory, tasks = (self._folder(name, group) for name in ("cpu", "memory", "pids"))
        ticks = read_counts(f"{cpu}/cpuacct.stat")
        limit = read_number(f"{memory}/memory.limit_in_bytes")
        return Usage(
            cpu_ns=read_number(f"{cpu}/cpuacct.usage", -1),
            user_ns=ticks.get("user", 0) * _TICK_NS,
            system_ns=ticks.get("system", 0) * _TICK_NS,
            memory_bytes=read_number(f"{memory}/memory.usage_in_bytes"),
            inactive_bytes=read_counts(f"{memory}/memory.stat").get("total_inactive_file", 0),
            memory_limit_bytes=limit if limit < _NO_LIMIT_BYTES else 0,
            pids=read_number(f"{tasks}/pids.current"),
            pids_limit=read_number(f"{tasks}/pids.max"),
            read_bytes=0,
            written_bytes=0,
        )

    def notices(self) -> list[str]:
        """Return what containers on this machine must do without."""
        missing = [name for name in _ALWAYS if name not in self._mounts]
        return [f"no cgroup controller {name}: limits that need it are refused" for name in missing]

    def _shared(self, group: str) -> list[str]:
        """Return the controllers whose group all containers of the engine share: joining one costs next to nothing."""
        joined = self._joined(group)
        own = {self._mounts[name] for name in joined}  # cpuacct is mounted with cpu, as a rule
        mounted = {name: self._mounts[name] for name in _SHARED if name in self._mounts}
        return [name for name, mount in mounted.items() if name not in joined and mount not in own]

    def _joined(self, group: str) -> list[str]:
        names: list[str] = [name for name in _ALWAYS if name in self._mounts]
        names += [name for name in _WHEN_ASKED if self._has(name, group)]
        return names

    def _has(self, controller: str, group: str) -> bool:
        return controller in self._mounts and os.path.isdir(self._folder(controller, group))

    def _folder(self, controller: str, group: str) -> str:
        return f"{self._mounts.get(controller, '/nonexistent')}/{group}"

    def _set(self, controller: str, group: str, file: str, value: str, *, needed: bool) -> None:
        if not needed and group in self._fresh:
            return  # a new group has no limits: seven files less to write
        try:
            write(f"{self._folder(controller, group)}/{file}", value)
        except OSError as error:
            if needed:
                message = f"cannot set {file} to {value}: {error.strerror}"
                raise EngineError(message, code="limit", field=LIMIT_FIELDS[file]) from error

    def _set_memory(self, group: str, limits: Limits) -> None:
        limit = str(limits.memory_bytes) if limits.memory_bytes else _UNLIMITED_MEMORY
        swap = str(limits.memory_swap_bytes) if limits.memory_swap_bytes > 0 else _UNLIMITED_MEMORY
        reservation = str(limits.memory_reservation_bytes or _UNLIMITED_MEMORY)
        # Order: memory plus swap may never be below memory; raising starts with the one, lowering with the
        # other. Taking the outer bound away first is right for both.
        self._set("memory", group, "memory.memsw.limit_in_bytes", _UNLIMITED_MEMORY, needed=False)
        self._set("memory", group, "memory.limit_in_bytes", limit, needed=bool(limits.memory_bytes))
        has_reservation = limits.memory_reservation_bytes > 0
        has_swap_limit = limits.memory_swap_bytes > 0
        if has_swap_limit:
            self._set("memory", group, "memory.memsw.limit_in_bytes", swap, needed=True)
        self._set("memory", group, "memory.soft_limit_in_bytes", reservation, needed=has_reservation)
        # "-1" is nothing the kernel can be told: what the group above has is its default.
        swappiness = limits.swappiness
        if swappiness < 0:
            swappiness = read_number(f"{os.path.dirname(self._folder('memory', group))}/memory.swappiness")
        self._set("memory", group, "memory.swappiness", str(swappiness), needed=limits.swappiness >= 0)
        is_oom_off = str(int(limits.oom_kill_disable))
        self._set("memory", group, "memory.oom_control", is_oom_off, needed=limits.oom_kill_disable)

    def _set_real_time(self, group: str, limits: Limits) -> None:
        runtime, period = limits.cpu_rt_runtime_us, limits.cpu_rt_period_us or _RT_PERIOD_US
        if not runtime and not limits.cpu_rt_period_us:
            self._set("cpu", group, "cpu.rt_runtime_us", "0", needed=False)
            return
        # A group's budget is part of that of the group above, which has none until it is given one.
        above = os.path.dirname(self._folder("cpu", group))
        own = os.path.basename(group)
        shares = [runtime / period, *(_rt_share(f"{above}/{name}") for name in groups_below(above) if name != own)]
        with contextlib.suppress(OSError):
            write(f"{above}/cpu.rt_period_us", str(_RT_PERIOD_US))
            write(f"{above}/cpu.rt_runtime_us", str(math.ceil(sum(shares) * _RT_PERIOD_US)))
        self._set("cpu", group, "cpu.rt_period_us", str(period), needed=True)
        self._set("cpu", group, "cpu.rt_runtime_us", str(runtime), needed=True)

    def _set_block(self, group: str, limits: Limits) -> list[str]:
        if not (limits.block or limits.block_weight or self._has("blkio", group)):
            return []
        if "blkio" not in self._mounts:
            raise EngineError("cannot set blkio_config: no such cgroup controller", code="limit", field="limits.blkio")
        folder, told = self._folder("blkio", group), []
        numbers = {limit.device: device_number(limit.device) for limit in limits.block}
        is_new = not os.path.isdir(folder)
        os.makedirs(folder, 0o755, exist_ok=True)
        for measure in _THROTTLES:
            file = f"blkio.throttle.{measure}_device"
            for line in throttle_lines(numbers, limits.block, measure, read(f"{folder}/{file}")):
                self._set("blkio", group, file, line, needed=True)
        file = next((name for name in ("blkio.bfq.weight", "blkio.weight") if os.path.exists(f"{folder}/{name}")), "")
        if file:
            self._set(
                "blkio", group, file, str(limits.block_weight or _DEFAULT_WEIGHT), needed=bool(limits.block_weight)
            )
        elif limits.block_weight:
            told.append(no_weight("blkio_config.weight"))
        for limit in limits.block:
            if limit.measure == "weight":
                told += self._set_device_weight(f"{folder}/{file}_device", numbers[limit.device], limit)
        if is_new:
            self._join_late(group, folder)
        return told

    def _set_device_weight(self, path: str, number: str, limit: BlockLimit) -> list[str]:
        try:
            write(path, f"{number} {limit.value}")
        except OSError:  # the device's scheduler is not one that knows weights
            return [no_weight(f"blkio_config.weight_device of {limit.device}")]
        return []

    def _join_late(self, group: str, folder: str) -> None:
        """Let the processes of a container that runs already be bound by a group that is new."""
        if group not in self._fresh:
            self._move_all(self._folder("devices", group), folder)

    def _set_cpuset(self, group: str, limits: Limits) -> None:
        if "cpuset" not in self._mounts:
            raise EngineError("cannot set cpuset: no such cgroup controller", code="limit", field="limits.cpuset")
        is_new = not self._has("cpuset", group)
        self._hand_down_cpuset(group)
        for file, value in (("cpuset.cpus", limits.cpuset), ("cpuset.mems", limits.cpuset_mems)):
            if value:
                self._set("cpuset", group, file, value, needed=True)
        if is_new:
            self._join_late(group, self._folder("cpuset", group))

    def _hand_down_cpuset(self, group: str) -> None:
        """Make the group with those above it. A new group may use nothing until it is told what: all its parent may."""
        parts = group.split("/")
        for depth in range(1, len(parts) + 1):
            folder = self._folder("cpuset", "/".join(parts[:depth]))
            os.makedirs(folder, 0o755, exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not read(f"{folder}/{file}").strip():
                    write(f"{folder}/{file}", read(f"{os.path.dirname(folder)}/{file}").strip())


def _rt_share(folder: str) -> float:
    period = read_number(f"{folder}/cpu.rt_period_us")
    return read_number(f"{folder}/cpu.rt_runtime_us") / period if period else 0.0
