"""`doctor`: what it sees on this machine, and on machines where something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine

NAMES = [
    "kernel and privileges",
    "control groups",
    "erofs",
    "state root",
    "namespaces",
    "overlay",
    "nftables",
    "other firewalls",
    "addresses",
    "boot",
    "engine",
]


def _as(engine: Engine, *who: str, root: str = "") -> subprocess.CompletedProcess[str]:
    argv = [*who, str(Path(sys.executable).with_name("stackctl")), "doctor"]
    env = engine.variables({"STACKCTL_ROOT": root} if root else {})
    return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)


def test_a_machine_that_runs_an_engine_is_well(resident: Engine) -> None:
    before = sorted(path.name for path in resident.root.iterdir())

    checks = resident.run("doctor", "--format", "json").json()

    assert [check["name"] for check in checks] == NAMES
    assert [check for check in checks if check["verdict"] == "error"] == []
    assert "running, answers at" in checks[-1]["detail"]
    assert sorted(path.name for path in resident.root.iterdir()) == before


def test_text_has_a_line_for_each_check(resident: Engine) -> None:
    lines = resident.run("doctor").out.splitlines()

    assert [line[2:25].rstrip(" :") for line in lines if line[0] in "✔!✘"] == NAMES
    assert any(line.startswith("✔ overlay:               can be mounted on the state root") for line in lines)


def test_without_root_it_says_so_and_what_else_can_be_seen(resident: Engine) -> None:
    done = _as(resident, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", root="/tmp/of-nobody")

    assert done.returncode == 1
    assert done.stdout.startswith(
        "✘ kernel and privileges: the built-in engine needs root to make namespaces, mounts and networks\n"
        "  hint:                  run the command with sudo\n"
    )
    assert "✔ control groups:" in done.stdout
    assert "nftables" not in done.stdout


@pytest.mark.parametrize(
    ("root", "found"),
    [
        ("/proc/none", "✘ state root:            /proc/none on proc,"),
        ("/dev/shm/x", "! state root:            /dev/shm/x on tmpfs,"),
    ],
)
def test_a_state_root_that_is_no_disk_is_told(resident: Engine, root: str, found: str) -> None:
    done = _as(resident, root=root)

    assert found in done.stdout
    assert "set STACKCTL_ROOT to a folder on a local disk" in done.stdout
    assert done.returncode == (1 if found.startswith("✘") else 0)
