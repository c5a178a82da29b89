"""Starting the engine with the machine: a unit for systemd, put in and taken out."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from stackctl.errors import EngineError
from stackctl.runtime.paths import EnginePaths, write_atomically

UNIT_FOLDER: Final = "/etc/systemd/system"
_RUNNING: Final = "/run/systemd/system"
_SYSTEMCTL_S: Final = 300.0


def unit_name(paths: EnginePaths, default_root: str) -> str:
    """Return ``stackctl.service``, or one with the engine's id for an engine with a root of its own."""
    is_default = paths.root == os.path.realpath(default_root)
    return "stackctl.service" if is_default else f"stackctl-{paths.engine_id}.service"


def unit_text(root: str, command: str) -> str:
    """Return the unit that starts the engine whose state is in ``root`` by means of ``command``, absolute. Pure.

    The engine's processes leave the unit's control group, as containers outlive what is done to the unit's files; it
    is "active" from the start until it is told to stop, which stops the containers. What has a restart policy the
    next start brings back.
    """
    return f"""\
[Unit]
Description=stackctl engine ({_unit_word(root)})
RequiresMountsFor={_quoted(root)}
Wants=network-online.target
After=network-online.target nss-lookup.target docker.service firewalld.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment={_quoted(f"STACKCTL_ROOT={root}")}
ExecStart={_quoted(command)} engine start
ExecStop={_quoted(command)} engine stop --force
TimeoutStartSec=120
TimeoutStopSec=300

[Install]
WantedBy=multi-user.target
"""


def install(name: str, text: str, *, starts_now: bool) -> str:
    """Put the unit in and enable it; return its path. Doing it again brings it up to date.

    Raises EngineError (``no-systemd``) where there is no systemd, or none that runs and it is to be started now.
    """
    is_running = _check_systemd()
    if starts_now and not is_running:
        raise EngineError(
            "systemd does not run here: nothing can be started by it now",
            code="no-systemd",
            hint="without --now the unit is put in, for the next boot",
        )
    path = f"{UNIT_FOLDER}/{name}"
    os.makedirs(UNIT_FOLDER, exist_ok=True)
    write_atomically(path, text.encode(), mode=0o644)
    if is_running:
        _systemctl("daemon-reload")
    _systemctl("enable", name)
    if starts_now:
        _systemctl("start", name)
    return path


def uninstall(name: str) -> bool:
    """Take the unit out, if it is there; say whether it was. The engine is stopped by then. Raises EngineError."""
    path = f"{UNIT_FOLDER}/{name}"
    if not os.path.lexists(path):
        return False
    if shutil.which("systemctl") is not None:
        is_running = os.path.isdir(_RUNNING)
        _systemctl("disable", *(["--now"] if is_running else []), name)
        os.unlink(path)
        if is_running:
            _systemctl("daemon-reload")
    else:
        os.unlink(path)
    return True


def is_installed(name: str) -> bool:
    """Whether the unit is there."""
    return os.path.lexists(f"{UNIT_FOLDER}/{name}")


def boot_notices(paths: EnginePaths) -> list[str]:
    """Return what to say where systemd runs and does not start this engine; else nothing."""
    from stackctl.engines.start import DEFAULT_ROOT  # what starts engines is of no use to those that run

    if not os.path.isdir(_RUNNING) or is_installed(unit_name(paths, DEFAULT_ROOT)):
        return []
    return ["Containers with `restart:` come back after a reboot only with the next stackctl command"]


def _check_systemd() -> bool:
    """Return whether systemd runs. Raises EngineError when this machine has none."""
    if shutil.which("systemctl") is None:
        raise EngineError(
            "this machine has no systemd: there is no systemctl",
            code="no-systemd",
            hint="have whatever starts services here run `stackctl engine start` at boot",
        )
    return os.path.isdir(_RUNNING)


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SYSTEMCTL_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise EngineError(
            f"systemctl {' '.join(arguments)} failed: {said[-1] if said else f'exit status {done.returncode}'}",
            code="systemd",
            hint=f"`systemctl status {arguments[-1]}` and `journalctl -u {arguments[-1]}` tell more",
        )


def _unit_word(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return ``text`` as one word of a unit file. Source: systemd.syntax(7), "Quoting"; systemd.service(5)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped == text and not any(c.isspace() or c in "';" for c in text) else f'"{escaped}"'
