"""Limits: in the kernel for real, changed while a container runs, and seen when they strike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackctl.runtime.kernel import cgroup
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
"""


@pytest.fixture(scope="module", autouse=True)
def _version_1() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        if cgroup.parse_mounts(file.read()).is_v2:
            pytest.skip("these look at the files of cgroup version 1")


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running


_FILES = (
    "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus memory/memory.limit_in_bytes"
    " memory/memory.soft_limit_in_bytes pids/pids.max"
)


def test_limits_are_in_the_containers_cgroup(stack: Composed) -> None:
    out = stack.sh("web", f"cd /sys/fs/cgroup; cat {_FILES}")

    assert out.split() == ["50000", "100000", "200", "0", str(64 << 20), str(32 << 20), "40"]


def test_without_limits_there_are_none(stack: Composed) -> None:
    out = stack.sh("free", "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max")

    assert out.split() == ["-1", "1024", "max"]


def test_every_process_of_a_container_is_in_its_cgroup(stack: Composed) -> None:
    inside = stack.sh(
        "web", "sleep 5 & cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs | wc -l; kill $!; wait"
    )

    assert {line.rpartition(":")[2] for line in inside.splitlines()[:-1]} == {"/"}
    assert int(inside.splitlines()[-1]) >= 4  # the first process, the shell, sleep, cat


def test_the_number_of_processes_is_bounded(stack: Composed) -> None:
    script = "for i in $(seq 60); do sleep 3 & done; wait"

    assert "Resource temporarily unavailable" in stack.exec("web", "sh", "-c", script, status=None).err


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
    files = "cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes pids/pids.max"
    with composed(shared_engine, tmp_path / "s", one_service(settings % (0.5, "64m", 40)), "-d") as stack:
        before = stack.row("web")["ID"], stack.sh("web", "cat /proc/1/stat")
        found = []
        for values in ((1.5, "32m", 20), (0.25, "128m", -1)):
            stack.write(one_service(settings % values))
            stack.run("up", "-d")
            found.append(stack.sh("web", f"cd /sys/fs/cgroup; cat {files}").split())

        after = stack.row("web")["ID"], stack.sh("web", "cat /proc/1/stat")

    assert found == [["150000", str(32 << 20), "20"], ["25000", str(128 << 20), "max"]]
    assert before == after


def test_the_cgroup_goes_with_the_container(stack: Composed, tmp_path: Path) -> None:
    engine_id = Path(urlsplit(stack.engine.status()["api"]).path).parent.name

    def groups() -> set[str]:
        return {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/stackctl-{engine_id}/*") if path.is_dir()}

    before = groups()
    with composed(stack.engine, tmp_path / "s", one_service("command: sleep 1000, cpuset: '0'"), "-d"):
        assert len(groups() - before) >= 5

    wait_until("its cgroups are gone", lambda: groups() == before)
