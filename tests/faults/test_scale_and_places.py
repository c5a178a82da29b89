"""A stack of 200 services, names as long as they may be, and state roots on file systems of other kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.runtime.kernel import libc
from tests.support.composed import composed
from tests.support.engine import Engine, kill_at_once
from tests.support.leaks import wait_for_no_leftovers

pytestmark = pytest.mark.changes_shared_engine

_SLEEPER = "{image: busybox, command: sleep 1000, stop_grace_period: 0s}"
_READ_ONLY, _REMOUNT = 1, 32


def test_a_stack_of_two_hundred_services_comes_up_and_goes_down(shared_engine: Engine, tmp_path: Path) -> None:
    services = "".join(f"  s{number}: {_SLEEPER}\n" for number in range(200))
    with composed(shared_engine, tmp_path / "s", f"name: crowd\nservices:\n{services}", "-d") as stack:
        rows = stack.rows()
        assert len(rows) == 200 and {row["State"] for row in rows} == {"running"}
        stack.run("plan", "--detailed-exitcode")
        assert stack.exec("s0", "nslookup", "s199").status == 0

        stack.run("down", "-v")

        assert stack.rows() == []
        assert wait_for_no_leftovers(shared_engine.root, 60.0) == []


def test_names_of_every_kind_at_their_limits_work(shared_engine: Engine, tmp_path: Path) -> None:
    container, network, volume, alias = "c" * 255, "n" * 200, "v" * 200, "a" * 63
    text = f"""\
name: {"p" * 60}
services:
  long:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    container_name: {container}
    hostname: {"h" * 64}
    volumes: ["data:/data"]
    networks: {{net: {{aliases: [{alias}]}}}}
networks: {{net: {{name: {network}}}}}
volumes: {{data: {{name: {volume}}}}}
"""
    with composed(shared_engine, tmp_path / "s", text, "-d") as stack:
        assert stack.row("long")["Name"] == container
        assert stack.sh("long", f"hostname; nslookup {alias} >/dev/null && echo found") == "h" * 64 + "\nfound\n"
        stack.run("down", "-v")
        assert wait_for_no_leftovers(shared_engine.root, 60.0) == []


@pytest.fixture
def on_tmpfs(tmp_path: Path, busybox_archive: Path) -> Iterator[Engine]:
    """An engine whose state root is a tmpfs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc.mount("small", str(disk), "tmpfs", 0, b"size=64m")
    engine = Engine(disk / "root")
    try:
        engine.run("image", "load", "-i", str(busybox_archive))
        yield engine
    finally:
        engine.stop()
        libc.umount(str(disk))


def test_a_state_root_on_tmpfs_works(on_tmpfs: Engine, tmp_path: Path) -> None:
    text = f"name: tmp\nservices:\n  web: {_SLEEPER}\n"
    with composed(on_tmpfs, tmp_path / "s", text, "-d") as stack:
        assert stack.sh("web", "echo kept >/file; cat /file") == "kept\n"
        stack.run("restart", "web")
        assert stack.sh("web", "cat /file") == "kept\n"
        stack.run("plan", "--detailed-exitcode")
        stack.run("down", "-v")
        assert wait_for_no_leftovers(on_tmpfs.root) == []


def test_a_state_root_that_became_read_only_is_said_and_what_runs_goes_on(on_tmpfs: Engine, tmp_path: Path) -> None:
    text = f"name: ro\nservices:\n  web: {_SLEEPER}\n"
    disk = str(on_tmpfs.root.parent)
    with composed(on_tmpfs, tmp_path / "s", text, "-d") as stack:
        before = stack.inspect("ro-web-1")["State"]["Pid"]
        # A mount can only be made read-only once nobody has a file open for writing.
        kill_at_once(list(on_tmpfs.status()["pids"].values()))
        libc.mount("", disk, "", libc.MS_BIND | _REMOUNT | _READ_ONLY)

        failed = stack.run("up", "-d", status=1)
        libc.mount("", disk, "", libc.MS_BIND | _REMOUNT)

        assert failed.err == (
            f"error[state-root]: the state root {on_tmpfs.root} cannot be used: Read-only file system: "
            f"{on_tmpfs.root}/start.lock\n"
            "hint: set STACKCTL_ROOT to a folder on a writable local file system\n"
        )
        stack.run("up", "-d")
        assert stack.inspect("ro-web-1")["State"]["Pid"] == before
        stack.run("plan", "--detailed-exitcode")
