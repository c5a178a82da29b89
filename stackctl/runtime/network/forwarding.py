"""IP forwarding of the host: switched on for containers, and remembered, so that it can be as it was."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from stackctl.runtime.paths import EnginePaths, write_atomically

_IP_FORWARD: Final = "/proc/sys/net/ipv4/ip_forward"
_DOCKERS: Final = "/sys/class/net/docker0"
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


def note_forwarding(paths: EnginePaths) -> None:
    """Remember, if forwarding is off, that it was so in this boot until the engine switched it on. Raises OSError."""
    with open(_IP_FORWARD, encoding="ascii") as file:
        if file.read().strip() != "0":
            return
    write_atomically(_note(paths), _boot_id().encode())


def restore_forwarding(paths: EnginePaths) -> list[str]:
    """Switch forwarding off if the engine has switched it on, and nobody else needs it; say so. Raises OSError."""
    try:
        with open(_note(paths), encoding="ascii") as file:
            boot = file.read().strip()
    except FileNotFoundError:
        return []
    os.unlink(_note(paths))
    if boot != _boot_id():
        return []  # the machine has booted since: what it is now, others have made it
    if _others():
        return ["IP forwarding of this host stays switched on: other container networks need it"]
    with open(_IP_FORWARD, "w", encoding="ascii") as file:
        file.write("0")
    return ["switched IP forwarding of this host (net.ipv4.ip_forward) off again"]


def _note(paths: EnginePaths) -> str:
    return f"{paths.root}/host-forwarding"


def _others() -> bool:
    """Whether somebody else has bridges: every container network and virtual machine behind NAT has one."""
    with contextlib.suppress(OSError):
        interfaces = os.listdir("/sys/class/net")
        return os.path.exists(_DOCKERS) or any(os.path.isdir(f"/sys/class/net/{name}/bridge") for name in interfaces)
    return True


def _boot_id() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
