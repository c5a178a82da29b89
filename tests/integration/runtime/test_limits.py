"""Limits: in the kernel for real, changed while a container runs, and seen when they strike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackctl.runtime.kernel import cgroup
from stackctl.runtime.kernel.cgroup_v2 import weight_of
from tests.support.composed import Composed, composed, one_service
from tests.support.engine import Engine, wait_until

_STACK = """
    name: limits
    services:
      web:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        init: true
        cpus: 0.5
        cpu_shares: 200
        cpuset: "0"
        mem_limit: 64m
        mem_reservation: 32m
        pids_limit: 40
      free: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
      more:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        cpu_quota: 30000
        cpu_period: 60000
        mem_swappiness: 10
        oom_kill_disable: true
        device_cgroup_rules: ["b 7:0 rm"]
        blkio_config:
          weight: 300
          device_read_bps: [{path: /dev/loop0, rate: 2m}]
          device_write_iops: [{path: /dev/loop0, rate: 30}]
"""


with open("/proc/self/mountinfo", encoding="utf-8") as _file:
    _IS_V2 = cgroup.parse_mounts(_file.read()).is_v2


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running


_CPU = "cpu.max" if _IS_V2 else "cpu/cpu.cfs_quota_us"
_SHARES = "cpu.weight" if _IS_V2 else "cpu/cpu.shares"
_CPUS = "cpuset.cpus" if _IS_V2 else "cpuset/cpuset.cpus"
_MEMORY = "memory.max" if _IS_V2 else "memory/memory.limit_in_bytes"
_RESERVED = "memory.low" if _IS_V2 else "memory/memory.soft_limit_in_bytes"
_PIDS = "pids.max" if _IS_V2 else "pids/pids.max"
_PROCESSES = "cgroup.procs" if _IS_V2 else "pids/cgroup.procs"


def _shown(stack: Composed, service: str, *files: str) -> list[str]:
    """Return the first word of each of the container's own cgroup files."""
    out = stack.sh(service, f"cd /sys/fs/cgroup; for f in {' '.join(files)}; do head -n 1 $f; done")
    return [line.split()[0] for line in out.splitlines()]


def test_limits_are_in_the_containers_cgroup(stack: Composed) -> None:
    found = _shown(stack, "web", _CPU, _CPUS, _MEMORY, _RESERVED, _PIDS, _SHARES)

    assert found[:5] == ["50000", "0", str(64 << 20), str(32 << 20), "40"]
    assert found[5] == (str(weight_of(200)) if _IS_V2 else "200")


@pytest.mark.skipif(_IS_V2, reason="version 2 has one hierarchy")
def test_each_hierarchy_that_java_looks_for_is_seen_from_its_root(stack: Composed) -> None:
    for service in ("web", "free"):
        groups = stack.sh(service, "cat /proc/self/cgroup").split()
        mounts = [line.split() for line in stack.sh(service, "grep /sys/fs/cgroup/ /proc/self/mountinfo").splitlines()]
        roots = {mount[4].rpartition("/")[2]: mount[3] for mount in mounts}
        for controller in ("cpu", "cpuset", "memory"):
            assert any(controller in group.split(":")[1].split(",") and group.endswith(":/") for group in groups)
            assert roots[controller] == "/"
        assert any("cpuacct" in mount[-1].split(",") for mount in mounts)


def test_without_limits_there_are_none(stack: Composed) -> None:
    wanted = ["max", "max", "100"] if _IS_V2 else ["-1", "max", "1024"]

    assert _shown(stack, "free", _CPU, _PIDS, _SHARES) == wanted


def test_a_quota_has_a_period_of_its_own(stack: Composed) -> None:
    files = ("cpu.max",) if _IS_V2 else ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
    out = stack.sh("more", f"cd /sys/fs/cgroup; cat {' '.join(files)}")

    assert out.split() == ["30000", "60000"]


def test_block_devices_are_bounded_and_weighed(stack: Composed) -> None:
    if _IS_V2:
        assert "7:0 rbps=2097152 wbps=max riops=max wiops=30" in stack.sh("more", "cat /sys/fs/cgroup/io.max")
        return
    script = "cd /sys/fs/cgroup/blkio; cat blkio.throttle.read_bps_device blkio.throttle.write_iops_device"
    weight = stack.sh("more", "cat /sys/fs/cgroup/blkio/blkio*weight 2>/dev/null || echo 300")

    assert stack.sh("more", script).splitlines() == ["7:0 2097152", "7:0 30"]
    assert weight.strip() == "300"


def test_what_only_version_1_can_do_is_done_or_told(stack: Composed) -> None:
    if _IS_V2:
        again = stack.run("up", "-d", "--force-recreate", "more").err
        assert "mem_swappiness has no effect: cgroup version 2 has no such setting" in again
        return
    out = stack.sh("more", "cd /sys/fs/cgroup/memory; cat memory.swappiness; head -n 1 memory.oom_control")

    assert out.splitlines() == ["10", "oom_kill_disable 1"]


def test_a_device_may_be_used_as_the_rules_say(stack: Composed) -> None:
    script = "mknod /tmp/loop b 7 0; for m in '<' '>>'; do (eval \": $m /tmp/loop\") 2>&1 && echo opened; done; true"

    assert stack.sh("more", script).splitlines()[0] == "opened"
    assert "Operation not permitted" in stack.sh("more", script).splitlines()[1]
    assert stack.sh("free", script).count("Operation not permitted") == 2


def test_docker_is_told_of_all_limits(stack: Composed) -> None:
    host = stack.inspect("limits-more-1")["HostConfig"]

    assert (host["CpuQuota"], host["CpuPeriod"], host["BlkioWeight"]) == (30000, 60000, 300)
    assert host["BlkioDeviceReadBps"] == [{"Path": "/dev/loop0", "Rate": 2 << 20}]
    assert host["BlkioDeviceWriteIOps"] == [{"Path": "/dev/loop0", "Rate": 30}]
    assert (host["MemorySwappiness"], host["OomKillDisable"]) == (10, True)
    assert host["DeviceCgroupRules"] == ["b 7:0 rm"]


def test_every_process_of_a_container_is_in_its_cgroup(stack: Composed) -> None:
    count = f"cat /sys/fs/cgroup/{_PROCESSES} | wc -l"
    inside = stack.sh("web", f"sleep 5 & cat /proc/self/cgroup; {count}; kill $!; wait")

    assert {line.rpartition(":")[2] for line in inside.splitlines()[:-1]} == {"/"}
    assert int(inside.splitlines()[-1]) >= 4  # the first process, the shell, sleep, cat


def test_the_number_of_processes_is_bounded(stack: Composed) -> None:
    script = "for i in $(seq 60); do sleep 3 & done; wait"

    assert "Resource temporarily unavailable" in stack.exec("web", "sh", "-c", script, status=None).err


def _blkio_of(pid: int, measure: str) -> str:
    """Return version 1's bounds of the group a process is in: a container that runs does not see it come."""
    lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
    for line in lines:
        if line.split(":")[1] == "blkio":
            file = Path(f"/sys/fs/cgroup/blkio{line.split(':')[2]}/blkio.throttle.{measure}_device")
            return file.read_text(encoding="ascii")
    return ""


_EAT = "command: [sh, -c, 'echo run; tail /dev/zero'], mem_limit: 16m, memswap_limit: 16m"


def test_a_container_out_of_memory_is_killed_and_says_so(shared_engine: Engine, tmp_path: Path) -> None:
    with composed(shared_engine, tmp_path / "s", one_service(_EAT)) as stack:
        stack.run("up", "-d")
        stack.wait_for("web", State="exited", ExitCode=137)

        assert stack.inspect("one-web-1")["State"]["OOMKilled"]


def test_a_later_run_is_not_blamed_for_an_earlier_kill(shared_engine: Engine, tmp_path: Path) -> None:
    once = "command: [sh, -c, 'if [ -e /ate ]; then exit 5; fi; touch /ate; tail /dev/zero']"
    text = one_service(f"{once}, mem_limit: 16m, memswap_limit: 16m, restart: 'on-failure:1'")
    with composed(shared_engine, tmp_path / "s", text) as stack:
        stack.run("up", "-d")
        stack.wait_for("web", State="exited", ExitCode=5)

        assert not stack.inspect("one-web-1")["State"]["OOMKilled"]


def test_limits_change_while_a_container_runs(shared_engine: Engine, tmp_path: Path) -> None:
    settings = "command: sleep 1000, stop_grace_period: 0s, cpus: %s, mem_limit: %s, pids_limit: %s"
    bound = "{device_read_iops: [{path: /dev/loop0, rate: %s}]}"
    with composed(shared_engine, tmp_path / "s", one_service(settings % (0.5, "64m", 40)), "-d") as stack:
        before = stack.row("web")["ID"], stack.sh("web", "cat /proc/1/stat")
        found, bounds = [], []
        for values in ((1.5, "32m", 20), (0.25, "128m", -1)):
            stack.write(one_service(f"{settings % values}, blkio_config: {bound % values[2]}"))
            stack.run("up", "-d")
            found.append(_shown(stack, "web", _CPU, _MEMORY, _PIDS))
            bounds.append(_blkio_of(stack.inspect("one-web-1")["State"]["Pid"], "read_iops"))

        after = stack.row("web")["ID"], stack.sh("web", "cat /proc/1/stat")

    assert found == [["150000", str(32 << 20), "20"], ["25000", str(128 << 20), "max"]]
    assert before == after
    assert _IS_V2 or bounds == ["7:0 20\n", ""]


def test_the_cgroup_goes_with_the_container(stack: Composed, tmp_path: Path) -> None:
    engine_id = Path(urlsplit(stack.engine.status()["api"]).path).parent.name

    def groups() -> set[str]:
        return {str(path) for path in Path("/sys/fs/cgroup").glob(f"**/stackctl-{engine_id}/*") if path.is_dir()}

    before = groups()
    with composed(stack.engine, tmp_path / "s", one_service("command: sleep 1000, cpuset: '0'"), "-d"):
        assert len(groups() - before) == (1 if _IS_V2 else 5)

    wait_until("its cgroups are gone", lambda: groups() == before)
