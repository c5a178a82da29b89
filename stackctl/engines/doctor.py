"""Whether this machine can run the built-in engine: one look at each thing it needs. Changes nothing that stays.

Each check says what is there, and, if that is not enough, what to do about it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from stackctl.engines import systemd
from stackctl.engines.start import check_privileges, root_of
from stackctl.errors import EngineError, PrivilegeError
from stackctl.runtime import set_aside
from stackctl.runtime.kernel import cgroup, libc
from stackctl.runtime.kernel.netlink import Netlink
from stackctl.runtime.paths import EnginePaths, find_engine

Verdict = Literal["ok", "warning", "error"]
_SCRATCH: Final = ".stackctl-doctor-"
_LEAST_FREE_BYTES: Final = 1 << 30
_CONTROLLERS: Final = ("cpu", "memory", "pids")
_NAMESPACES: Final = (
    libc.CLONE_NEWNS
    | libc.CLONE_NEWPID
    | libc.CLONE_NEWNET
    | libc.CLONE_NEWIPC
    | libc.CLONE_NEWUTS
    | libc.CLONE_NEWCGROUP
)
# What keeps no locks, no ownership or no overlays, or is gone after a reboot.
_VOLATILE: Final = ("tmpfs", "ramfs")
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "vboxsf")


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


def examine(environment: Mapping[str, str]) -> Iterator[Check]:
    """Yield one check after another. With an error among them the engine cannot run.

    Without the privileges it needs there is no looking at what takes them.
    """
    root = root_of(environment)
    privileges = _privileges()
    yield privileges
    yield _looked("control groups", _cgroups)
    yield _looked("erofs", _erofs)
    yield (state_root := _looked("state root", lambda: _state_root(root)))
    if privileges.verdict == "error":
        return
    yield _looked("namespaces", _namespaces)
    if state_root.verdict != "error":
        yield _looked("overlay", lambda: _overlay(root))
    yield _looked("nftables", _nftables)
    yield _looked("other firewalls", _firewalls)
    yield _looked("addresses", _addresses)
    yield _looked("boot", lambda: _boot(root))
    yield _looked("engine", lambda: _engine(root))


def _looked(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (OSError, EngineError) as error:
        return Check(name, "error", f"cannot be looked at: {error}")


def _privileges() -> Check:
    name = "kernel and privileges"
    try:
        check_privileges()
    except PrivilegeError as error:
        return Check(name, "error", error.message, error.hint)
    return Check(name, "ok", f"Linux {os.uname().release}, root, Python {sys.version.split()[0]}")


def _namespaces() -> Check:
    problem = _in_child(lambda: libc.unshare(_NAMESPACES))
    if problem:
        hint = "inside a container: run that one privileged; else see /proc/sys/user/max_*_namespaces"
        return Check("namespaces", "error", f"cannot be made: {problem}", hint)
    return Check("namespaces", "ok", "mount, pid, net, ipc, uts and cgroup can be made")


def _cgroups() -> Check:
    name = "control groups"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        found = cgroup.parse_mounts(file.read())
    if found.is_v2 and not found.v2:
        return Check(name, "error", "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    there = set(cgroup.read(f"{found.v2}/cgroup.controllers").split()) if found.is_v2 else set(found.v1)
    missing = [controller for controller in _CONTROLLERS if controller not in there]
    version = "version 2" if found.is_v2 else "version 1"
    if missing:
        hint = "limits of these kinds have no effect; enable them on the kernel's command line"
        return Check(name, "warning", f"{version}, without {', '.join(missing)}", hint)
    return Check(name, "ok", f"{version} with {', '.join(_CONTROLLERS)}")


def _state_root(root: str) -> Check:
    name, there = "state root", _nearest_folder(root)
    kind = _file_system(there)
    free = shutil.disk_usage(there).free
    shown = f"{root} on {kind}, {free / 1e9:.1f} GB free"
    elsewhere = "set STACKCTL_ROOT to a folder on a local disk"
    if not _is_writable(there):
        return Check(name, "error", f"{shown}: cannot be written", elsewhere)
    if kind.partition(".")[0] in _REMOTE:
        return Check(name, "error", f"{shown}: not a local file system", elsewhere)
    if kind in _VOLATILE:
        return Check(name, "warning", f"{shown}: volumes are gone after a reboot", elsewhere)
    if free < _LEAST_FREE_BYTES:
        return Check(name, "warning", shown, "make room: images and volumes are kept there")
    return Check(name, "ok", shown)


def _is_writable(folder: str) -> bool:
    # Tried: permissions say nothing of read-only file systems, and root may write to what takes no folders.
    try:
        tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder).cleanup()
    except OSError:
        return False
    return True


def _overlay(root: str) -> Check:
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=_nearest_folder(root)) as folder:
        for part in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{folder}/{part}")
        problem = _in_child(lambda: _mount_overlay(folder))
    if problem:
        hint = "modprobe overlay; the state root must not itself be on an overlay: set STACKCTL_ROOT to a local disk"
        return Check("overlay", "error", f"cannot be mounted on the state root: {problem}", hint)
    return Check("overlay", "ok", "can be mounted on the state root")


def _mount_overlay(folder: str) -> None:
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(b"", b"/", b"", libc.MS_REC | libc.MS_SLAVE)
    parts = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    libc.mount(b"overlay", f"{folder}/merged", b"overlay", 0, parts)


def _erofs() -> Check:
    with open("/proc/filesystems", encoding="ascii") as file:
        has_it = "erofs" in file.read().split()
    return Check("erofs", "ok", "there, not needed" if has_it else "not there, not needed: images are unpacked")


def _nftables() -> Check:
    from stackctl.runtime.kernel import nftables

    try:
        with nftables.open_nftables() as netlink:
            ours = sum(table.startswith("stackctl") for table in nftables.tables(netlink))
    except OSError as error:
        return Check("nftables", "error", f"not usable: {error}", "modprobe nf_tables nft_chain_nat nft_masq")
    return Check("nftables", "ok", f"usable{f', {ours} tables of engines' if ours else ''}")


def _firewalls() -> Check:
    from stackctl.runtime.kernel import nftables
    from stackctl.runtime.network import foreign_firewalls

    try:
        with nftables.open_nftables() as netlink:
            found = foreign_firewalls.notices(netlink)
            has_docker = foreign_firewalls.has_docker_user(netlink)
    except OSError:
        return Check("other firewalls", "warning", "unknown, as nftables cannot be asked")
    if found:
        return Check("other firewalls", "warning", found[0], "; ".join(found[1:]))
    docker = "Docker's is there, and lets our traffic through by a rule in DOCKER-USER"
    return Check("other firewalls", "ok", docker if has_docker else "none in the way")


def _addresses() -> Check:
    from stackctl.runtime.network.host import taken_subnets
    from stackctl.runtime.network.ipam import POOLS

    with Netlink() as netlink:
        taken = taken_subnets(netlink)
    clashes = {str(pool): next((t for t in taken if t.subnet.overlaps(pool)), None) for pool, _ in POOLS}
    free = [pool for pool, clash in clashes.items() if clash is None]
    used = "; ".join(f"{pool} is used by {clash.by}" for pool, clash in clashes.items() if clash is not None)
    if not free:
        return Check("addresses", "warning", used, "give networks a subnet of their own: ipam.config.subnet")
    return Check("addresses", "ok", f"networks get theirs from {free[0]}{f' ({used})' if used else ''}")


def _engine(root: str) -> Check:
    paths = find_engine(root)
    if paths is None or not os.path.exists(paths.api_socket):
        return (paths and _kept_files(paths)) or Check("engine", "ok", "not running; the first command starts it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5.0)
        try:
            sock.connect(paths.api_socket)
            sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: stackctl\r\nConnection: close\r\n\r\n")
            is_well = bool(sock.recv(1))
        except OSError:
            is_well = False
    if not is_well:
        hint = f"its messages are in {root}/engine.log; `stackctl engine stop --force` ends it with all containers"
        return Check("engine", "error", f"there at {paths.api_socket}, but does not answer", hint)
    return _kept_files(paths) or Check("engine", "ok", f"running, answers at {paths.api_socket}")


def _boot(root: str) -> Check:
    paths = find_engine(root)
    if paths is not None and (notices := systemd.boot_notices(paths)):
        return Check("boot", "ok", "; ".join(notices) + "; `sudo stackctl engine install` has the engine start at boot")
    return Check("boot", "ok", "the engine starts with the machine, or there is no systemd to start it")


def _kept_files(paths: EnginePaths) -> Check | None:
    notices = set_aside.notices(paths)
    if not notices:
        return None
    return Check("engine", "warning", "; ".join(notices), set_aside.HINT)


def _nearest_folder(path: str) -> str:
    """Return the folder itself, or the nearest one above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _file_system(path: str) -> str:
    """Return the type of the file system that holds ``path``. Source: proc_pid_mountinfo(5)."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split()[2] == wanted:
                return right.split()[0]
    return "unknown"


def _in_child(act: Callable[[], object]) -> str:
    """Do something in a process of its own, whose namespaces end with it; return why it failed, "" if not."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except OSError as error:
            os.write(write_end, (error.strerror or str(error)).lower().encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as reader:
        problem = reader.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    return problem
