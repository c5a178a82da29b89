"""What could be left behind in the kernel and on disk, as text, before and after."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_WAIT_S = 10.0


@dataclass(frozen=True)
class Leaks:
    """Everything of the kinds we make that there is now."""

    things: frozenset[str]

    @classmethod
    def look(cls) -> Leaks:
        """Look around."""
        found: set[str] = set()
        found |= _mounts()
        found |= {f"network interface {name}" for name in os.listdir("/sys/class/net")}
        found |= _tables()
        found |= _cgroups()
        found |= _processes()
        found |= {f"run folder {path}" for path in Path("/run/stackctl").glob("*/") if path.is_dir()}
        found |= {f"descriptor {fd}" for fd in _descriptors()}
        found |= {f"network namespace {path}" for path in Path("/run/netns").glob("*")}
        return cls(frozenset(found))

    def wait_until_gone(self) -> list[str]:
        """Return what is there now and was not before, once it no longer goes away by itself.

        The kernel removes interfaces of dead namespaces, and we unlink trash, in the background.
        """
        deadline = time.monotonic() + _WAIT_S
        while True:
            left = sorted(Leaks.look().things - self.things)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return {f"mount {line.split()[4]}" for line in lines}


def _tables() -> set[str]:
    from stackctl.runtime.kernel import nftables

    if os.geteuid() != 0:
        return set()
    with nftables.open_nftables() as netlink:
        return {f"nft table {name}" for name in nftables.tables(netlink)}


def _cgroups() -> set[str]:
    found = set()
    for top in ("/sys/fs/cgroup", *Path("/sys/fs/cgroup").glob("*")):
        found |= {f"cgroup {path}" for path in Path(top).glob("stackctl*")}
    return found


def _processes() -> set[str]:
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        is_child = _is_ours(folder)
        if "stackctl" in command or is_child:
            found.add(f"process {folder.name}: {command[:120]}")
    return found


def _is_ours(folder: Path) -> bool:
    """A process in another pid namespace than ours can only be a container's."""
    try:
        return os.readlink(folder / "ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


def _descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if int(name) > 30}
