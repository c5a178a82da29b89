"""What a container sees of itself and of the machine: namespaces, file systems, devices, descriptors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Composed, composed
from tests.support.engine import Engine

_STACK = """
    name: isolation
    services:
      web:
        image: busybox
        command: sleep 1000
        hostname: box
        domainname: example.org
        working_dir: /made/on/the/way
        network_mode: none
      bare:
        image: busybox
        command: sleep 1000
        network_mode: host
        pid: host
        ipc: host
        uts: host
        cgroup: host
      owner: {image: busybox, command: sleep 1000, stop_grace_period: 0s, network_mode: none}
      guest:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        network_mode: service:owner
        pid: service:owner
        ipc: service:owner
      open: {image: busybox, command: sleep 1000, stop_grace_period: 0s, security_opt: ["systempaths=unconfined"]}
      mighty:
        image: busybox
        command: sleep 1000
        privileged: true
      frozen:
        image: busybox
        command: sleep 1000
        read_only: true
        tmpfs: [/scratch]
"""


@pytest.fixture(scope="module")
def stack(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(shared_engine, tmp_path_factory.mktemp("stack"), _STACK, "-d") as running:
        yield running


def _mounts(stack: Composed, service: str) -> dict[str, tuple[str, set[str]]]:
    """Return mountpoint -> (type, options) as the container sees them; the uppermost of each place."""
    found = {}
    for line in stack.exec(service, "cat", "/proc/self/mounts").out.splitlines():
        _, target, kind, options, *_ = line.split()
        found[target] = (kind, set(options.split(",")))
    return found


def _namespaces(stack: Composed, service: str) -> dict[str, str]:
    names = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
    out = stack.sh(service, "cd /proc/self/ns; for n in " + " ".join(names) + "; do readlink $n; done")
    return dict(zip(names, out.split(), strict=True))


def _own_namespaces() -> dict[str, str]:
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup")}


def test_a_container_has_namespaces_of_its_own(stack: Composed) -> None:
    host, web, other = _own_namespaces(), _namespaces(stack, "web"), _namespaces(stack, "frozen")

    shared = {name for name in host if len({host[name], web[name], other[name]}) != 3}

    assert shared == set()


def test_host_modes_share_just_what_they_name(stack: Composed) -> None:
    host, bare = _own_namespaces(), _namespaces(stack, "bare")

    assert {name for name in host if host[name] == bare[name]} == {"pid", "net", "ipc", "uts", "cgroup"}


def test_namespaces_of_another_service_are_shared(stack: Composed) -> None:
    owner, guest = _namespaces(stack, "owner"), _namespaces(stack, "guest")
    stack.sh("owner", "echo shared >/dev/shm/note")

    assert {name for name in owner if owner[name] == guest[name]} == {"pid", "net", "ipc", "user"}
    assert stack.sh("guest", "cat /dev/shm/note; ps | grep -c 'sleep 1000'").splitlines()[0] == "shared"
    assert stack.sh("guest", "cat /proc/1/comm; echo $$").splitlines()[0] == "sleep"
    assert stack.inspect("isolation-guest-1")["HostConfig"]["PidMode"] == "container:isolation-owner-1"


@pytest.mark.changes_shared_engine
def test_who_shares_a_namespace_is_made_anew_with_its_owner(stack: Composed) -> None:
    before = stack.row("guest")["ID"]
    stack.run("up", "-d", "--force-recreate", "--no-deps", "owner")
    plan = stack.run("plan").out
    stack.run("up", "-d")

    assert "isolation-guest-1" in plan
    assert _namespaces(stack, "guest")["pid"] == _namespaces(stack, "owner")["pid"]
    assert stack.row("guest")["ID"] == before


def test_nothing_of_the_kernels_files_is_hidden_when_asked_so(stack: Composed) -> None:
    targets = {target for target in _mounts(stack, "open") if target.startswith("/proc/")}

    assert targets == set()
    assert "/proc/sys" in _mounts(stack, "web")


def test_the_machines_name_is_that_of_who_shares_it(stack: Composed) -> None:
    assert stack.sh("bare", "hostname; cat /etc/hostname; echo $HOSTNAME").split() == [os.uname().nodename] * 3


def test_nothing_of_a_container_is_among_the_mounts_of_the_host_or_the_engine(stack: Composed) -> None:
    pids = stack.engine.status()["pids"]

    for pid in ("self", *pids.values()):
        mounts = Path(f"/proc/{pid}/mountinfo").read_text()
        assert str(stack.engine.root) not in mounts
        assert "overlay" not in re.findall(rf" {re.escape(str(stack.engine.root))}\S* .* - (\w+)", mounts)


def test_the_root_is_an_overlay_and_nothing_of_the_host_is_mounted_but_what_was_asked(stack: Composed) -> None:
    mounts = _mounts(stack, "web")

    assert mounts["/"][0] == "overlay"
    kernel = {target for target in mounts if target.startswith(("/proc", "/sys", "/dev"))}
    assert set(mounts) - kernel == {"/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}


def test_mount_types_and_options_are_those_of_docker(stack: Composed) -> None:
    mounts = _mounts(stack, "web")

    guarded = {"nosuid", "nodev", "noexec", "relatime"}
    assert mounts["/proc"] == ("proc", {"rw", *guarded})
    assert mounts["/sys"] == ("sysfs", {"ro", *guarded})
    assert mounts["/dev"] == ("tmpfs", {"rw", "nosuid", "size=65536k", "mode=755"})
    pts = {"rw", "nosuid", "noexec", "relatime", "gid=5", "mode=620", "ptmxmode=666"}
    assert mounts["/dev/pts"] == ("devpts", pts)
    assert mounts["/dev/shm"] == ("tmpfs", {"rw", *guarded, "size=65536k"})
    assert mounts["/dev/mqueue"] == ("mqueue", {"rw", *guarded})
    cgroups = {target: options for target, (_, options) in mounts.items() if target.startswith("/sys/fs/cgroup")}
    assert cgroups and all({"ro", *guarded} <= options for options in cgroups.values())


def test_dev_holds_the_nodes_and_links_of_docker_and_no_more(stack: Composed) -> None:
    out = stack.sh("web", "cd /dev; for f in *; do echo $f $(stat -c '%F %t:%T %a %u:%g' $f) $(readlink $f); done")

    device = "character special file"
    wanted = {
        f"null {device} 1:3 666 0:0",
        f"zero {device} 1:5 666 0:0",
        f"full {device} 1:7 666 0:0",
        f"random {device} 1:8 666 0:0",
        f"urandom {device} 1:9 666 0:0",
        f"tty {device} 5:0 666 0:0",
        "fd symbolic link 0:0 777 0:0 /proc/self/fd",
        "stdin symbolic link 0:0 777 0:0 /proc/self/fd/0",
        "stdout symbolic link 0:0 777 0:0 /proc/self/fd/1",
        "stderr symbolic link 0:0 777 0:0 /proc/self/fd/2",
        "ptmx symbolic link 0:0 777 0:0 pts/ptmx",
        "pts directory 0:0 755 0:0",
        "shm directory 0:0 1777 0:0",
        "mqueue directory 0:0 1777 0:0",
    }
    if Path("/proc/kcore").exists():
        wanted.add("core symbolic link 0:0 777 0:0 /proc/kcore")
    assert set(out.splitlines()) == wanted


def test_kernel_secrets_are_masked(stack: Composed) -> None:
    masked = "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats".split()
    paths = [f"/proc/{name}" for name in masked] + ["/sys/firmware", "/sys/devices/virtual/powercap"]
    there = [path for path in paths if Path(path).exists()]

    out = stack.sh("web", f"for p in {' '.join(there)}; do if [ -d $p ]; then ls -A $p; else cat $p; fi; done 2>&1")

    assert there, "this kernel has none of them: the test shows nothing"
    assert out == ""


def test_masks_cannot_be_written_to_or_unmounted(stack: Composed) -> None:
    out = stack.sh(
        "web", "touch /sys/firmware/x; umount /proc/acpi; umount /proc/keys; mount -o remount,rw /proc/sys; true"
    )

    assert out == ""
    assert _mounts(stack, "web")["/sys/firmware"][0] == "tmpfs"
    assert "ro" in _mounts(stack, "web")["/proc/sys"][1]


@pytest.mark.parametrize("path", ["sys/kernel/hostname", "sysrq-trigger", "irq/default_smp_affinity", "bus/x", "fs/x"])
def test_dangerous_parts_of_proc_are_read_only(stack: Composed, path: str) -> None:
    is_there = Path("/proc", path.partition("/")[0]).exists()

    result = stack.exec("web", "sh", "-c", f"echo x > /proc/{path}", status=None)

    assert result.status != 0
    if is_there:
        assert "Read-only file system" in result.err or "nonexistent directory" in result.err


def test_sys_is_read_only(stack: Composed) -> None:
    assert "Read-only file system" in stack.exec("web", "mkdir", "/sys/fs/cgroup/x", status=1).err
    assert "Read-only" in stack.exec("web", "sh", "-c", "echo 1 > /sys/kernel/profiling", status=1).err


def test_the_first_process_is_number_one_and_sees_no_others(stack: Composed) -> None:
    assert stack.sh("web", "cat /proc/1/cmdline | tr '\\0' ' '") == "sleep 1000 "
    assert stack.sh("web", "ls -d /proc/[0-9]* | wc -l").strip() in ("2", "3", "4")  # sleep, sh, ls, wc


@pytest.mark.parametrize("service", ["web", "bare", "mighty"])
def test_a_container_starts_with_no_descriptors_but_the_standard_ones(stack: Composed, service: str) -> None:
    of_ours = "[ $(readlink $p/ns/mnt) = $(readlink /proc/self/ns/mnt) ] && grep -q sleep $p/comm"

    first = stack.sh(service, f"for p in /proc/[0-9]*; do {of_ours} && ls $p/fd; done 2>/dev/null; true")

    assert first.split() == ["0", "1", "2"]
    # The shell's own glob shows the folder it has open too, but that is no longer there when it is looked at.
    list_own = "for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done; true"
    assert stack.sh(service, list_own).split() == ["0", "1", "2"]


def test_the_way_out_is_gone(stack: Composed) -> None:
    climb = "cd /; " + "cd ..; " * 30 + "ls -A"

    assert stack.sh("web", climb) == stack.sh("web", "ls -A /") == stack.sh("web", "ls -A /proc/1/root/")
    assert stack.exec("web", "ls", str(stack.engine.root), status=1).out == ""


def test_the_working_directory_is_made(stack: Composed) -> None:
    assert stack.exec("web", "pwd").out == "/made/on/the/way\n"
    assert stack.sh("web", "stat -c '%a %u:%g' /made /made/on/the/way").split() == ["755", "0:0"] * 2


def test_host_and_domain_name_are_set(stack: Composed) -> None:
    assert stack.sh("web", "hostname; cat /proc/sys/kernel/domainname /etc/hostname; echo $HOSTNAME").split() == [
        "box",
        "example.org",
        "box",
        "box",
    ]
    assert os.uname().nodename != "box"


def test_the_host_name_is_by_default_the_short_id(stack: Composed) -> None:
    assert stack.sh("frozen", "hostname").strip() == stack.row("frozen")["ID"][:12]


def test_without_a_network_there_is_a_working_loopback_alone(stack: Composed) -> None:
    assert stack.sh("web", "ls /sys/class/net; cat /sys/class/net/lo/flags").split() == ["lo", "0x9"]


def test_a_read_only_root_lets_only_mounted_places_be_written(stack: Composed) -> None:
    assert "Read-only file system" in stack.exec("frozen", "touch", "/x", status=1).err
    assert stack.sh("frozen", "touch /scratch/x /dev/shm/x && echo written").strip() == "written"


def test_a_privileged_container_has_nothing_masked_and_every_device(stack: Composed) -> None:
    mounts = _mounts(stack, "mighty")

    assert "rw" in mounts["/sys"][1]
    assert not [target for target in mounts if target.startswith(("/proc/", "/sys/firmware"))]
    assert set(stack.sh("mighty", "ls /dev").split()) >= {"null", "mem" if Path("/dev/mem").exists() else "kmsg"}
    assert "Seccomp:\t0" in stack.sh("mighty", "cat /proc/self/status")


def test_signals_are_as_a_fresh_process_has_them(stack: Composed) -> None:
    status = stack.sh("web", "cat /proc/1/status")

    assert "SigBlk:\t0000000000000000" in status
    assert "SigIgn:\t0000000000000000" in status
    assert stack.sh("web", "umask").strip() == "0022"
