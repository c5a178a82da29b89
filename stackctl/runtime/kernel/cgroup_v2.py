"""Control groups, version 2: one hierarchy for all controllers."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable
from typing import Final

from stackctl.errors import EngineError
from stackctl.model.limits import Limits
from stackctl.runtime.kernel import device_bpf
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
)
from stackctl.runtime.kernel.cgroup_limits import cpu_time, device_number, io_max_lines, io_weight, no_weight
from stackctl.runtime.kernel.devices import DeviceRule

_WANTED: Final = ("cpu", "memory", "pids", "cpuset")
# Few ask for bounds on block devices, and an old delegation may be without.
_WELCOME: Final = ("io",)
_DEFAULT_WEIGHT: Final = 100
_KILL_ROUNDS: Final = 50


class V2Driver:
    """Groups below ``mount``; without ``has_kill`` processes are killed one by one."""

    is_v2 = True

    def __init__(self, mount: str, *, has_kill: bool = True) -> None:
        self._mount = mount
        self._has_kill = has_kill
        self._missing: set[str] = set()

    def create(self, engine_id: str, container_id: str) -> str:
        """Make the container's group, with every controller there is; harmless when it exists."""
        top, group = group_path(engine_id), group_path(engine_id, container_id)
        os.makedirs(self._folder(top), 0o755, exist_ok=True)
        # Order: a group may only use a controller that every group above passes on.
        for folder in (self._mount, self._folder(top)):
            self._pass_controllers_on(folder)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder(group), 0o755)
        return group

    def find(self, engine_id: str, container_id: str) -> str:
        """Return the container's group."""
        return group_path(engine_id, container_id)

    def apply_limits(self, group: str, limits: Limits) -> list[str]:
        """Set every limit; 0 means none. Return what has no effect here.

        Raises EngineError for one that this machine cannot set.
        """
        if limits.cpu_rt_runtime_us or limits.cpu_rt_period_us:
            raise EngineError(
                "cannot set a real-time budget: cgroup version 2 has none",
                code="limit",
                field="limits.real-time budget",
                hint="remove cpu_rt_runtime and cpu_rt_period",
            )
        for file, value, needed in limit_values(limits):
            self._set(group, file, value, needed=needed)
        told = [f"{name} has no effect: cgroup version 2 has no such setting" for name in _gone(limits)]
        return told + self._apply_block(group, limits)

    def _set(self, group: str, file: str, value: str, *, needed: bool) -> None:
        try:
            write(f"{self._folder(group)}/{file}", value)
        except OSError as error:
            if needed:
                raise EngineError(
                    f"cannot set {file} to {value}: {error.strerror}",
                    code="limit",
                    field=LIMIT_FIELDS[file],
                    hint=f"the cgroup controller {file.partition('.')[0]} may not be delegated to us",
                ) from error

    def _apply_block(self, group: str, limits: Limits) -> list[str]:
        folder, told = self._folder(group), []
        numbers = {limit.device: device_number(limit.device) for limit in limits.block}
        for line in io_max_lines(numbers, limits.block, read(f"{folder}/io.max")):
            self._set(group, "io.max", line, needed=bool(limits.block))
        file = next((name for name in ("io.bfq.weight", "io.weight") if os.path.exists(f"{folder}/{name}")), "")
        scale = io_weight if file == "io.weight" else int
        if limits.block_weight and not file:
            told.append(no_weight("blkio_config.weight"))
        elif file:
            weight = scale(limits.block_weight) or _DEFAULT_WEIGHT
            self._set(group, file, f"default {weight}", needed=bool(limits.block_weight))
        for limit in limits.block:
            if limit.measure == "weight" and file:
                self._set(group, file, f"{numbers[limit.device]} {scale(limit.value)}", needed=True)
            elif limit.measure == "weight":
                told.append(no_weight(f"blkio_config.weight_device of {limit.device}"))
        return told

    def apply_devices(self, group: str, rules: Iterable[DeviceRule], is_privileged: bool) -> None:
        """Allow only what these rules do; a privileged container all."""
        if is_privileged:
            return
        folder = os.open(self._folder(group), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            device_bpf.attach(folder, device_bpf.compile_rules(rules))
        except OSError as error:
            hint = "bpf(2) needs CAP_BPF or root" if error.errno == errno.EPERM else ""
            message = f"cannot restrict devices: {error.strerror}"
            raise EngineError(message, code="device-rules", hint=hint, field="devices") from error
        finally:
            os.close(folder)

    def join_fds(self, group: str) -> Joins:
        """Open the folder a process is born in."""
        return Joins((), os.open(self._folder(group), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def binds(self, group: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return nothing: the container mounts cgroup2 in its own cgroup namespace."""
        del group
        return ()

    def kill_all(self, engine_id: str, container_id: str) -> None:
        """SIGKILL to every process of the group and those below (cgroup.kill, Linux 5.14)."""
        folder = self._folder(group_path(engine_id, container_id))
        if not self._has_kill:
            self._kill_one_by_one(folder)
            return
        try:
            write(f"{folder}/cgroup.kill", "1")
        except OSError:
            self._kill_one_by_one(folder)

    def _kill_one_by_one(self, folder: str) -> None:
        for _ in range(_KILL_ROUNDS):
            found = pids(folder)
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def freeze(self, engine_id: str, container_id: str) -> None:
        """Stop every process of the group. Raises EngineError; then none is. Source: cgroup-v2.rst, cgroup.freeze."""
        folder = self._folder(group_path(engine_id, container_id))
        try:
            write(f"{folder}/cgroup.freeze", "1")
        except OSError as error:
            raise EngineError(f"cannot freeze: {error.strerror}", code="freeze") from error
        if not await_text(f"{folder}/cgroup.events", "frozen 1"):
            self.thaw(engine_id, container_id)
            raise EngineError("cannot freeze: a process cannot be stopped now", code="freeze")

    def thaw(self, engine_id: str, container_id: str) -> None:
        """Let the group's processes go on; harmless when they do."""
        with contextlib.suppress(OSError):
            write(f"{self._folder(group_path(engine_id, container_id))}/cgroup.freeze", "0")

    def oom_kills(self, engine_id: str, container_id: str) -> int:
        """Return how many processes were killed for want of memory."""
        text = read(f"{self._folder(group_path(engine_id, container_id))}/memory.events")
        counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        return int(counts.get("oom_kill", 0))

    def remove(self, engine_id: str, container_id: str) -> None:
        """Remove the container's group; harmless when it is gone."""
        remove_folder(self._folder(group_path(engine_id, container_id)))

    def sweep(self, engine_id: str, *, keep: set[str]) -> None:
        """Kill and remove every group of the engine but those to keep."""
        for stray in set(groups_below(self._folder(group_path(engine_id)))) - keep:
            self.kill_all(engine_id, stray)
            self.remove(engine_id, stray)

    def remove_engine(self, engine_id: str) -> None:
        """Remove the engine's own group, which has none below any more."""
        remove_folder(self._folder(group_path(engine_id)))

    def usage(self, engine_id: str, container_id: str) -> Usage:
        """Return what the group has used. Source: cgroup-v2.rst, cpu.stat, memory.stat, io.stat."""
        folder = self._folder(group_path(engine_id, container_id))
        cpu = read_counts(f"{folder}/cpu.stat")
        io = [word.partition("=") for word in read(f"{folder}/io.stat").split()]
        return Usage(
            cpu_ns=cpu.get("usage_usec", 0) * 1000,
            user_ns=cpu.get("user_usec", 0) * 1000,
            system_ns=cpu.get("system_usec", 0) * 1000,
            memory_bytes=read_number(f"{folder}/memory.current"),
            inactive_bytes=read_counts(f"{folder}/memory.stat").get("inactive_file", 0),
            memory_limit_bytes=read_number(f"{folder}/memory.max"),
            pids=read_number(f"{folder}/pids.current"),
            pids_limit=read_number(f"{folder}/pids.max"),
            read_bytes=sum(int(value) for name, _, value in io if name == "rbytes"),
            written_bytes=sum(int(value) for name, _, value in io if name == "wbytes"),
        )

    def notices(self) -> list[str]:
        """Return what containers on this machine must do without."""
        return [f"no cgroup controller {name}: limits that need it are refused" for name in sorted(self._missing)]

    def _folder(self, group: str) -> str:
        return f"{self._mount}/{group}"

    def _pass_controllers_on(self, folder: str) -> None:
        available = set(read(f"{folder}/cgroup.controllers").split())
        passed = set(read(f"{folder}/cgroup.subtree_control").split())
        for name in (*_WANTED, *_WELCOME):
            if name in passed:
                continue
            try:
                if name not in available:
                    raise FileNotFoundError(2, "not available", name)
                write(f"{folder}/cgroup.subtree_control", f"+{name}")
            except OSError:
                if name in _WANTED:
                    self._missing.add(name)


def limit_values(limits: Limits) -> list[tuple[str, str, bool]]:
    """Return (file, value, whether failing to set it is an error). Pure."""
    quota, period = cpu_time(limits)
    memory, swap = limits.memory_bytes, limits.memory_swap_bytes
    values = [
        ("cpu.max", f"{quota or 'max'} {period}", bool(quota or limits.cpu_period_us)),
        ("cpu.weight", str(weight_of(limits.cpu_shares)), bool(limits.cpu_shares)),
        ("memory.max", str(memory) if memory else "max", bool(memory)),
        # Compose counts memory and swap together, version 2 swap alone.
        ("memory.swap.max", str(max(0, swap - memory)) if swap > 0 else "max", swap > 0),
        ("memory.low", str(limits.memory_reservation_bytes), bool(limits.memory_reservation_bytes)),
        ("pids.max", str(limits.pids) if limits.pids > 0 else "max", limits.pids > 0),
    ]
    if limits.cpuset:
        values.append(("cpuset.cpus", limits.cpuset, True))
    if limits.cpuset_mems:
        values.append(("cpuset.mems", limits.cpuset_mems, True))
    return values


def _gone(limits: Limits) -> list[str]:
    names = {"mem_swappiness": limits.swappiness >= 0, "oom_kill_disable": limits.oom_kill_disable}
    return [name for name, is_asked in names.items() if is_asked]


def weight_of(shares: int) -> int:
    """Turn shares (2..262144, default 1024) into a weight (1..10000, default 100), as runc does. Pure."""
    if not shares:
        return _DEFAULT_WEIGHT
    return 1 + (max(2, min(shares, 262144)) - 2) * 9999 // 262142
