"""The ways that older kernels make us go: all of them forced at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.runtime.kernel.features import FEATURES
from tests.support.composed import composed, one_service
from tests.support.engine import Engine, wait_until

_UNTIL_TOLD = "echo begun; until [ -e /go ]; do sleep 0.05; done; seq 1 5000; exit 9"


@pytest.fixture
def old_engine(tmp_path: Path, busybox_archive: Path) -> Iterator[Engine]:
    """An engine that does without everything it can do without."""
    own = Engine(tmp_path / "engine", {"STACKCTL_WITHOUT": ",".join(FEATURES)})
    try:
        own.run("image", "load", "-i", str(busybox_archive))
        yield own
    finally:
        own.stop()


def _replace_supervisor(engine: Engine) -> None:
    before = engine.pid("supervisor")
    os.kill(before, signal.SIGKILL)
    wait_until("another supervisor is there", lambda: engine.pid("supervisor") not in (0, before))


def test_containers_run_survive_the_supervisor_and_end_with_their_code(old_engine: Engine, tmp_path: Path) -> None:
    with composed(old_engine, tmp_path / "s", one_service(f"command: [sh, -c, {_UNTIL_TOLD!r}]"), "-d") as stack:
        start = stack.sh("web", "cut -d' ' -f22 /proc/1/stat")
        _replace_supervisor(old_engine)
        assert stack.sh("web", "cut -d' ' -f22 /proc/1/stat") == start
        stack.sh("web", "touch /go")

        assert stack.wait_for("web", State="exited")["ExitCode"] == 9
        assert stack.logs("web") == "begun\n" + "".join(f"{number}\n" for number in range(1, 5001))


def test_the_exit_journal_keeps_its_size_and_every_code_is_found(old_engine: Engine, tmp_path: Path) -> None:
    journal = Path("/run/stackctl") / old_engine.status()["id"] / "exits"
    with composed(old_engine, tmp_path / "s", one_service(f"command: [sh, -c, {_UNTIL_TOLD!r}]"), "-d") as stack:
        # As many as orphans of a container among the host's processes come to in some days.
        with journal.open("ab") as file:
            file.write(b"".join(b"%d %d 0 1700000000000000000\n" % (pid, pid) for pid in range(1, 10_000)))
        assert journal.stat().st_blocks * 512 > 300_000
        stack.sh("web", "touch /go")

        assert stack.wait_for("web", State="exited")["ExitCode"] == 9

        wait_until("what is recorded is given back", lambda: journal.stat().st_blocks * 512 < 20_000)
        _replace_supervisor(old_engine)
        assert stack.run("run", "--rm", "-T", "web", "sh", "-c", "exit 3", status=3).out == ""


def test_a_container_among_the_hosts_processes_is_killed_whole(old_engine: Engine, tmp_path: Path) -> None:
    command = "command: [sh, -c, 'sleep 4321 & sleep 4321 & echo ready; sleep 4321'], pid: host, stop_grace_period: 0s"
    with composed(old_engine, tmp_path / "s", one_service(command)) as stack:
        stack.run("up", "-d")
        wait_until("it is ready", lambda: stack.logs("web") == "ready\n")

        stack.run("stop")

        wait_until("none of its processes is left", lambda: not _sleepers())


def _sleepers() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if b"4321" in command and b"sleep\x00" in command:
            found.append(name)
    return found


def test_an_unknown_feature_is_named(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine", {"STACKCTL_WITHOUT": "splice,wings"})

    result = engine.run("engine", "start", status=None)

    assert result.status != 0
    assert "error[unknown-feature]: STACKCTL_WITHOUT names 'wings', which is no feature" in result.err
