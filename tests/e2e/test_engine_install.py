"""Putting the engine into a machine's boot, and out of the machine again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.engines.systemd import unit_text
from tests.support.engine import Engine, Result, kill_at_once
from tests.support.leaks import Leaks

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
UNIT = """\
[Unit]
Description=stackctl engine (/var/lib/stackctl)
RequiresMountsFor=/var/lib/stackctl
Wants=network-online.target
After=network-online.target nss-lookup.target docker.service firewalld.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=STACKCTL_ROOT=/var/lib/stackctl
ExecStart=/opt/stackctl/bin/stackctl engine start
ExecStop=/opt/stackctl/bin/stackctl engine stop --force
TimeoutStartSec=120
TimeoutStopSec=300

[Install]
WantedBy=multi-user.target
"""


class Machine:
    """An engine, and a systemd that only writes down what it is told: its units lie in a folder of the test's own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.units = folder / "units"
        self.told = folder / "told"
        self.bin = folder / "bin"
        self.units.mkdir()
        self.bin.mkdir()
        self.told.touch()
        (self.bin / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{self.told}\n')
        (self.bin / "systemctl").chmod(0o755)

    def run(self, *arguments: str, status: int = 0, boots: bool = True, path: str | None = None) -> Result:
        """Run ``stackctl`` where the units are; ``boots`` says whether systemd runs there."""
        there = "mount -t tmpfs run /run/systemd && mkdir /run/systemd/system" if boots else "true"
        seen = path if path is not None else f"{self.bin}:{os.environ['PATH']}"
        bound = f"mkdir -p /run/systemd && mount --bind {self.units} /etc/systemd/system && {there}"
        command = [f"PATH={seen}", str(Path(sys.executable).with_name("stackctl")), *arguments]
        argv = ["unshare", "--mount", "sh", "-ec", f'{bound} && exec env "$@"', "sh", *command]
        done = subprocess.run(
            argv, env=self.engine.variables(), cwd="/", capture_output=True, text=True, timeout=60, check=False
        )
        result = Result(["stackctl", *arguments], done.returncode, done.stdout, done.stderr)
        assert result.status == status, str(result)
        return result

    def calls(self) -> list[str]:
        """Return what systemctl was told since the last look."""
        lines = self.told.read_text().splitlines()
        self.told.write_text("")
        return lines


@pytest.fixture
def machine(engine: Engine, tmp_path: Path) -> Iterator[Machine]:
    """A machine with systemd, and an engine with an image."""
    yield Machine(engine, tmp_path)


def test_the_unit_starts_and_stops_the_engine() -> None:
    assert unit_text("/var/lib/stackctl", "/opt/stackctl/bin/stackctl") == UNIT


def test_unusual_paths_are_quoted_in_the_unit() -> None:
    text = unit_text('/data/50% "x"', "/opt/my $tools/stackctl")
    assert 'Environment="STACKCTL_ROOT=/data/50%% \\"x\\""' in text
    assert 'ExecStart="/opt/my $$tools/stackctl" engine start' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    folder = tmp_path / "my units"
    folder.mkdir()
    unit = folder / "stackctl.service"
    unit.write_text(unit_text("/data/50% more", shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    about_it = [line for line in (done.stdout + done.stderr).splitlines() if "stackctl" in line]
    assert (done.returncode, about_it) == (0, [])


def test_install_enables_the_unit_and_now_starts_it(machine: Machine) -> None:
    name = f"stackctl-{(machine.engine.root / 'engine-id').read_text()}.service"

    said = machine.run("engine", "install").out
    assert said == f"/etc/systemd/system/{name}: the engine starts with the machine\n"
    text = (machine.units / name).read_text()
    assert f"Environment=STACKCTL_ROOT={machine.engine.root}\n" in text
    assert re.search(r"^ExecStart=/\S+/stackctl engine start$", text, re.MULTILINE)
    assert machine.calls() == ["daemon-reload", f"enable {name}"]
    machine.run("engine", "install", "--now")
    assert machine.calls() == ["daemon-reload", f"enable {name}", f"start {name}"]
    machine.run("engine", "uninstall", "--keep-data")
    assert machine.calls() == [f"disable --now {name}", "daemon-reload"]
    assert list(machine.units.iterdir()) == []


def test_what_a_reboot_does_is_said_once_when_something_with_a_restart_policy_is_made(
    machine: Machine, tmp_path: Path
) -> None:
    file, service = (
        tmp_path / "compose.yaml",
        "image: busybox, command: sleep 1000, stop_grace_period: 0s, restart: always",
    )
    notice = "note[boot]: Containers with `restart:` come back after a reboot only with the next stackctl command\n"
    machine.engine.stop()  # so that the next is one that sees systemd

    def up(text: str) -> str:
        file.write_text(f"name: boot\nservices:\n{text}", encoding="utf-8")
        return machine.run("-f", str(file), "up", "-d").err

    text = f"  one: {{{service}}}\n"
    assert up(text).count(notice) == 1
    assert notice not in up(text)
    assert notice not in up(text)
    assert "boot:                  Containers with `restart:`" in machine.run("doctor").out
    machine.run("engine", "install")
    assert notice not in up(text + f"  two: {{{service}}}\n")
    machine.run("-f", str(file), "down")


def test_where_systemd_does_not_run_the_unit_is_for_the_next_boot(machine: Machine) -> None:
    machine.run("engine", "install", boots=False)
    assert [call.split()[0] for call in machine.calls()] == ["enable"]
    said = machine.run("engine", "install", "--now", boots=False, status=1).err
    assert said.startswith("error[no-systemd]: systemd does not run here: nothing can be started by it now\n")


def test_without_systemd_it_says_so_and_does_nothing(machine: Machine) -> None:
    said = machine.run("engine", "install", boots=False, path=str(machine.units), status=1).err
    assert said == (
        "error[no-systemd]: this machine has no systemd: there is no systemctl\n"
        "hint: have whatever starts services here run `stackctl engine start` at boot\n"
    )
    assert list(machine.units.iterdir()) == []


def test_uninstall_leaves_the_machine_as_it_was(tmp_path: Path, busybox_archive: Path) -> None:
    before, forwarding = Leaks.look(), FORWARDING.read_text()
    FORWARDING.write_text("0")
    engine = Engine(tmp_path / "root")
    machine = Machine(engine, tmp_path)
    try:
        engine.run("image", "load", "-i", str(busybox_archive))
        folder = tmp_path / "stack"
        folder.mkdir()
        (folder / "compose.yaml").write_text(
            "services:\n  web:\n    image: busybox\n    command: sh -c 'echo precious >/data/x; exec sleep 1000'\n"
            "    volumes: [data:/data]\n    ports: ['80']\n    stop_grace_period: 0s\nvolumes: {data: {}}\n"
        )
        engine.run("up", "-d", "--wait", cwd=folder)
        machine.run("engine", "install")
        assert FORWARDING.read_text() == "1\n"

        said = machine.run("engine", "uninstall", status=1).err
        assert said.startswith("error[volumes-hold-data]: a volume holds data: stack_data\nhint: ")
        said = machine.run("engine", "uninstall", "--keep-data", status=1).err
        assert said.startswith("error[containers-running]: 1 container is running\nhint: ")
        assert engine.run("ps", "-q", cwd=folder).out, "a refusal has stopped something"
        said = machine.run("engine", "uninstall", "--force").out
        assert said.splitlines()[0] == "stopped the engine"
        assert said.endswith(f"off again\nremoved {engine.root}\n")
        assert FORWARDING.read_text() == "0\n"
    finally:
        FORWARDING.write_text(forwarding)
        engine.stop()
    assert not engine.root.exists()
    assert list(machine.units.iterdir()) == []
    assert before.wait_until_gone() == []


def test_what_a_killed_engine_left_goes_too_and_data_may_stay(machine: Machine, tmp_path: Path) -> None:
    engine = machine.engine
    (tmp_path / "compose.yaml").write_text(
        "name: killed\nservices:\n  web: {image: busybox, command: sleep 1000, volumes: ['data:/data'],"
        " stop_grace_period: 0s}\n"
        "volumes: {data: {}}\n"
    )
    engine.run("up", "-d", cwd=tmp_path)
    (engine.root / "volumes" / "killed_data" / "_data" / "x").write_text("precious")
    (engine.root / "somebody's").write_text("not an engine's")
    pids = engine.status()["pids"]
    before = Leaks.look()
    kill_at_once([int(pids[role]) for role in ("keeper", "supervisor", "daemon")])

    machine.run("engine", "uninstall", "--force", "--keep-data")
    assert (engine.root / "volumes" / "killed_data" / "_data" / "x").read_text() == "precious"
    gone = before.things - Leaks.look().things
    assert any("stackctl-" in thing for thing in gone), gone
    assert machine.run("engine", "uninstall", "--force").out == f"removed {engine.root}, but not somebody's in it\n"
    assert machine.run("engine", "uninstall").err == f"There is no engine in {engine.root}\n"
    (engine.root / "somebody's").unlink()
