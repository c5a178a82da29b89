"""The driver for cgroup version 2, on folders that stand for cgroupfs as kernels show it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from stackctl.errors import EngineError
from stackctl.model.limits import BlockLimit, Limits
from stackctl.runtime.kernel.cgroup import parse_mounts
from stackctl.runtime.kernel.cgroup_limits import io_max_lines
from stackctl.runtime.kernel.cgroup_v2 import V2Driver, limit_values, weight_of

_ENGINE, _ID = "abc123", "c" * 64
_ALL = "cpuset cpu io memory hugetlb pids rdma misc"
_EVENTS = "low 0\nhigh 0\nmax 9\noom 2\noom_kill %d\noom_group_kill 0\n"
# What a group of Linux 6.1 holds that we touch, with its default content.
_GROUP = {
    "cgroup.procs": "",
    "cgroup.kill": "",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cpu.max": "max 100000\n",
    "cpu.weight": "100\n",
    "cpuset.cpus": "\n",
    "memory.max": "max\n",
    "memory.low": "0\n",
    "memory.swap.max": "max\n",
    "memory.events": _EVENTS % 0,
    "pids.max": "max\n",
}


class Tree:
    """A mount of cgroup2 with one engine and one container in it."""

    def __init__(
        self, mount: Path, *, controllers: str = _ALL, passed: str = "memory pids", files: dict[str, str]
    ) -> None:
        self.mount = mount
        self.top = mount / f"stackctl-{_ENGINE}"
        self.group = self.top / _ID
        self.group.mkdir(parents=True)
        for folder, available in ((mount, controllers), (self.top, passed)):
            (folder / "cgroup.controllers").write_text(available + "\n")
            (folder / "cgroup.subtree_control").write_text("")
        for name, content in files.items():
            (self.group / name).write_text(content)

    def empty(self) -> None:
        """Take the control files away, as the kernel's own do not keep a folder from being removed."""
        for name in os.listdir(self.group):
            (self.group / name).unlink()

    def read(self, name: str) -> str:
        return (self.group / name).read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, files=_GROUP)


@pytest.fixture
def driver(tree: Tree) -> V2Driver:
    return V2Driver(str(tree.mount))


def test_controllers_are_passed_on_from_the_top_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids cpuset io\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    driver = V2Driver(str(tmp_path))

    group = driver.create(_ENGINE, _ID)

    assert (tmp_path / group).is_dir()
    # The file shows the last write only: each controller is passed on by a write of its own.
    assert (tmp_path / "cgroup.subtree_control").read_text().strip().startswith("+")


def test_making_a_group_twice_is_harmless(driver: V2Driver, tree: Tree) -> None:
    assert driver.create(_ENGINE, _ID) == driver.create(_ENGINE, _ID) == driver.find(_ENGINE, _ID)
    assert tree.read("memory.max") == "max\n"


def test_what_is_not_delegated_is_told(tmp_path: Path) -> None:
    tree = Tree(tmp_path, controllers="cpu memory", passed="memory", files=_GROUP)
    driver = V2Driver(str(tree.mount))
    driver.create(_ENGINE, _ID)

    assert driver.notices() == [
        f"no cgroup controller {name}: limits that need it are refused" for name in ("cpu", "cpuset", "pids")
    ]


_LIMITS = Limits(
    nano_cpus=1_500_000_000,
    cpu_shares=512,
    cpuset="0-1",
    memory_bytes=64 << 20,
    memory_reservation_bytes=32 << 20,
    memory_swap_bytes=96 << 20,
    pids=50,
)


def _written(tree: Tree, *names: str) -> dict[str, str]:
    # A regular file keeps what a shorter write leaves behind; cgroupfs does not. Only the beginning counts.
    return {name: tree.read(name) for name in names}


def test_limits_are_written_in_the_kernels_words(driver: V2Driver, tree: Tree) -> None:
    for name in _GROUP:
        (tree.group / name).write_text("")

    driver.apply_limits(driver.find(_ENGINE, _ID), _LIMITS)

    assert _written(tree, "cpu.max", "cpu.weight", "cpuset.cpus") == {
        "cpu.max": "150000 100000",
        "cpu.weight": str(weight_of(512)),
        "cpuset.cpus": "0-1",
    }
    assert _written(tree, "memory.max", "memory.low", "memory.swap.max", "pids.max") == {
        "memory.max": str(64 << 20),
        "memory.low": str(32 << 20),
        "memory.swap.max": str(32 << 20),
        "pids.max": "50",
    }


def test_bounds_on_block_devices_are_written_and_those_no_longer_wanted_taken_away() -> None:
    numbers = {"/dev/a": "8:0"}
    block = (
        BlockLimit(measure="read_bps", device="/dev/a", value=1000),
        BlockLimit(measure="write_iops", device="/dev/a", value=7),
    )
    present = "8:16 rbps=5 wbps=max riops=max wiops=max\n"

    assert io_max_lines(numbers, block, present) == [
        "8:16 rbps=max wbps=max riops=max wiops=max",
        "8:0 rbps=1000 wbps=max riops=max wiops=7",
    ]


def test_what_version_2_lacks_is_told_and_a_real_time_budget_refused(driver: V2Driver) -> None:
    group = driver.find(_ENGINE, _ID)
    told = driver.apply_limits(group, Limits(swappiness=0, oom_kill_disable=True, block_weight=300))

    assert [text.split()[0] for text in told] == ["mem_swappiness", "oom_kill_disable", "blkio_config.weight"]
    with pytest.raises(EngineError, match="real-time"):
        driver.apply_limits(group, Limits(cpu_rt_runtime_us=1))


def test_taking_limits_away_writes_that_there_are_none(driver: V2Driver, tree: Tree) -> None:
    for name in _GROUP:
        (tree.group / name).write_text("")

    driver.apply_limits(driver.find(_ENGINE, _ID), Limits())

    assert _written(tree, "cpu.max", "memory.max", "memory.swap.max", "memory.low", "pids.max", "cpu.weight") == {
        "cpu.max": "max 100000",
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.low": "0",
        "pids.max": "max",
        "cpu.weight": "100",
    }


@pytest.mark.parametrize(
    ("limits", "file"),
    [
        (Limits(memory_bytes=1 << 20), "memory.max"),
        (Limits(pids=3), "pids.max"),
        (Limits(nano_cpus=10**9), "cpu.max"),
        (Limits(cpuset="0"), "cpuset.cpus"),
    ],
)
def test_a_limit_without_its_controller_is_refused_by_name(tmp_path: Path, limits: Limits, file: str) -> None:
    tree = Tree(tmp_path, files={"cgroup.procs": ""})
    driver = V2Driver(str(tree.mount))

    with pytest.raises(EngineError, match=f"cannot set {file} to") as caught:
        driver.apply_limits(driver.find(_ENGINE, _ID), limits)

    assert file.partition(".")[0] in caught.value.hint


def test_no_limit_needs_no_controller(tmp_path: Path) -> None:
    tree = Tree(tmp_path, files={"cgroup.procs": ""})
    driver = V2Driver(str(tree.mount))

    driver.apply_limits(driver.find(_ENGINE, _ID), Limits())

    assert os.listdir(tree.group) == ["cgroup.procs"]


@pytest.mark.parametrize(("memory", "swap", "shown"), [(64, 64, "0"), (64, 96, "32"), (64, -1, "max"), (64, 0, "max")])
def test_swap_is_what_is_above_memory(memory: int, swap: int, shown: str) -> None:
    values = {file: value for file, value, _ in limit_values(Limits(memory_bytes=memory, memory_swap_bytes=swap))}

    assert values["memory.swap.max"] == shown


@pytest.mark.parametrize(("shares", "weight"), [(0, 100), (2, 1), (1, 1), (262144, 10000), (999999, 10000), (1024, 39)])
def test_shares_become_weights(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight


def test_a_process_is_born_in_the_group(driver: V2Driver, tree: Tree) -> None:
    joins = driver.join_fds(driver.find(_ENGINE, _ID))

    try:
        assert joins.write_fds == ()
        assert os.path.samestat(os.fstat(joins.birth_fd), tree.group.stat())
        assert joins.fds == (joins.birth_fd,)
    finally:
        os.close(joins.birth_fd)
    assert driver.binds(driver.find(_ENGINE, _ID)) == ()


def test_one_write_kills_all(driver: V2Driver, tree: Tree) -> None:
    driver.kill_all(_ENGINE, _ID)

    assert tree.read("cgroup.kill") == "1"


def test_before_linux_5_14_they_are_killed_one_by_one(driver: V2Driver, tree: Tree) -> None:
    (tree.group / "cgroup.kill").unlink()
    victim = subprocess.Popen(["sleep", "1000"])
    (tree.group / "cgroup.procs").write_text(f"{victim.pid}\n")

    driver.kill_all(_ENGINE, _ID)

    assert victim.wait(10) == -signal.SIGKILL


def test_kills_for_want_of_memory_are_counted(driver: V2Driver, tree: Tree) -> None:
    counted = [driver.oom_kills(_ENGINE, _ID)]
    (tree.group / "memory.events").write_text(_EVENTS % 3)
    counted.append(driver.oom_kills(_ENGINE, _ID))
    tree.empty()
    counted.append(driver.oom_kills(_ENGINE, _ID))

    assert counted == [0, 3, 0]


def test_a_group_that_is_gone_is_removed_already(driver: V2Driver, tree: Tree) -> None:
    tree.empty()

    driver.remove(_ENGINE, _ID)
    driver.remove(_ENGINE, _ID)

    assert not tree.group.exists()


def test_groups_below_go_first(driver: V2Driver, tree: Tree) -> None:
    tree.empty()
    (tree.group / "made/by/the/container").mkdir(parents=True)

    driver.remove(_ENGINE, _ID)

    assert not tree.group.exists()


def test_the_sweep_keeps_what_it_is_told_to(driver: V2Driver, tree: Tree) -> None:
    tree.empty()
    for name in ("stray", "kept"):
        (tree.top / name).mkdir()

    driver.sweep(_ENGINE, keep={"kept", _ID})

    assert sorted(entry.name for entry in tree.top.iterdir() if entry.is_dir()) == [_ID, "kept"]


_V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
_HYBRID = """\
30 24 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw
34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:13 - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,memory
36 30 0:32 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,xattr,name=systemd
"""


def test_a_machine_with_version_2_alone_is_recognised() -> None:
    found = parse_mounts(_V2)

    assert (found.is_v2, found.v2, found.v1) == (True, "/sys/fs/cgroup", {})


def test_on_a_hybrid_machine_version_1_has_the_controllers() -> None:
    found = parse_mounts(_HYBRID)

    assert not found.is_v2
    assert found.v1 == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
    }


@pytest.mark.parametrize("text", ["", "garbage\n", "1 2 3 - \n", "- cgroup2\n"])
def test_nonsense_holds_no_cgroups(text: str) -> None:
    assert parse_mounts(text).v2 == ""
