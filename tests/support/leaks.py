"""What could be left behind in the kernel and on disk, as text, before and after."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WAIT_S = 10.0
_RUN = Path("/run/stackctl")
_DEFAULT_ROOT = Path("/var/lib/stackctl")
# The one file there that belongs to no engine.
_SHARED = {_RUN / "subnets.lock"}
_EMPTY_FOLDERS = ("containers", "networks", "volumes", "trash", "contents")
_FOREIGN = ("containers", "volumes", "layers")
_TEMPORARY = re.compile(r"\.tmp\d*$|\.\d+$")


@dataclass(frozen=True)
class Leaks:
    """Everything of the kinds we make that there is now."""

    things: frozenset[str]

    @classmethod
    def look(cls) -> Leaks:
        """Look around."""
        found = {*_mounts(), *_links(), *_tables(), *_cgroups(), *_processes(), *_files()}
        return cls(frozenset(found | set(_descriptors()) | set(_network_namespaces())))

    def new(self) -> list[str]:
        """Return what is there now and was not before."""
        # What only garbage holds is closed, not leaked.
        gc.collect()
        return sorted(Leaks.look().things - self.things)

    def wait_until_gone(self, timeout_s: float = _WAIT_S) -> list[str]:
        """Return what is there now and was not before, once it no longer goes away by itself.

        The kernel removes interfaces of dead namespaces, and we unlink trash, in the background.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = self.new()
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)


def state_leftovers(root: Path) -> list[str]:
    """Return what lies below a state root that nothing needs once every stack went down with its volumes.

    Images stay, and so do the engine's own records; half-written files of any kind do not.
    """
    found = [path for folder in _EMPTY_FOLDERS for path in _listed(root / folder)]
    return sorted(str(path.relative_to(root)) for path in {*found, *_half_written(root)})


def wait_for_no_leftovers(root: Path, timeout_s: float = _WAIT_S) -> list[str]:
    """Return the leftovers below ``root`` once they no longer go away by themselves: the trash is emptied late."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = state_leftovers(root)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _half_written(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        # What containers write themselves, and what images hold, may be called anything.
        folders[:] = [name for name in folders if name not in _FOREIGN]
        yield from (Path(folder, name) for name in (*folders, *files) if _TEMPORARY.search(name))
        if "tmp" in folders:
            yield from _listed(Path(folder, "tmp"))


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Look again when a folder goes away while it is looked into, which ends a glob of Python 3.11."""
    while True:
        try:
            return list(folder.glob(pattern))
        except FileNotFoundError:
            continue


def _mounts() -> Iterator[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    # Counted: the same thing mounted over itself is one more.
    for point, count in Counter(line.split()[4] for line in lines).items():
        for number in range(count):
            yield f"mount {point}" + (f" ({number + 1})" if number else "")


def _links() -> Iterator[str]:
    # Not from /sys, which shows the namespace it was mounted in.
    for index, name in socket.if_nameindex():
        yield f"network interface {index} {name}"


def _network_namespaces() -> Iterator[str]:
    for path in Path("/run/netns").glob("*"):
        yield f"network namespace {path}"
    for pid in _pids():
        if pid == os.getpid() or _is_of_an_engine(pid):
            for number, target in _open_files(pid):
                if target.startswith("net:"):
                    yield f"network namespace {target} held by descriptor {number} of process {pid}"


def _tables() -> Iterator[str]:
    from stackctl.runtime.kernel import nftables

    if os.geteuid() != 0:
        return
    with nftables.open_nftables() as netlink:
        for family in (nftables.FAMILY_IP, nftables.FAMILY_INET):
            for name in nftables.tables(netlink, family):
                yield f"nft table {name} of family {family}"


def _cgroups() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, tail = line.partition(" - ")
        if tail.split()[0] in ("cgroup", "cgroup2"):
            for pattern in ("**/stackctl*/", "**/stackctl*/**/*/"):
                yield from (f"cgroup {path}" for path in _matching(Path(fields.split()[4]), pattern))


def _files() -> Iterator[str]:
    for path in _matching(_RUN, "**/*"):
        # Receipts, stacks read before, and stamps may outlive their stack; the engine takes them along.
        if path not in _SHARED and not path.name.startswith(("receipt-", "known-", "stamp-")):
            yield f"file {path}"
    yield from (f"file {path}" for path in _listed(_DEFAULT_ROOT))


def _processes() -> Iterator[str]:
    for pid in _pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if _parent(pid) == os.getpid() or _is_of_an_engine(pid) or _is_in_a_container(pid):
                yield f"process {pid}: {_command(pid)[:120] or 'zombie'}"


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_of_an_engine(pid: int) -> bool:
    command = _command(pid)
    return (
        "stackctl/runtime/keeper.py" in command
        or "supervisor.py" in command
        or "stackctl." in command
        or "stackctl-holder" in command
    )


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def _is_in_a_container(pid: int) -> bool:
    """A process in another pid namespace than ours, or in a cgroup of an engine, can only be a container's."""
    if "/stackctl-" in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace"):
        return True
    return os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")


def _open_files(pid: int) -> Iterator[tuple[int, str]]:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield int(name), os.readlink(f"/proc/{pid}/fd/{name}")


def _descriptors() -> Iterator[str]:
    listing = f"/proc/{os.getpid()}/fd"
    for number, target in _open_files(os.getpid()):
        # The tiny init's program is made once in a process and kept for its life.
        if target != listing and not target.startswith("/memfd:init"):
            yield f"descriptor {number} of the tests: {target}"
