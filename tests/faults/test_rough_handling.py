"""What goes wrong on machines and in containers ends in a clear error, or works; never in a hang or a leak."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from stackctl.client.engine_client import EngineClient
from stackctl.runtime.kernel import libc
from stackctl.runtime.kernel.cgroup import parse_mounts
from tests.support.engine import Engine, Result, kill_at_once, wait_until
from tests.support.leaks import wait_for_no_leftovers
from tests.support.ports import free_port

pytestmark = pytest.mark.changes_shared_engine

_SLEEPER = "name: rough\nservices:\n  one: {image: busybox, command: sleep 1000, stop_grace_period: 0s}\n"


def _write(folder: Path, text: str) -> Path:
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    return folder


def _assert_clear(result: Result, *words: str) -> None:
    """It failed with a diagnostic that says ``words``, not with what only a developer can read."""
    assert result.status == 1, str(result)
    assert "error[" in result.err, str(result)
    assert "Traceback" not in result.err and "internal" not in result.err, str(result)
    for word in words:
        assert word in result.err, str(result)


@pytest.fixture
def small_disk(tmp_path: Path, busybox_archive: Path) -> Iterator[Engine]:
    """An engine whose state root is a file system of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc.mount("small", str(disk), "tmpfs", 0, b"size=24m")
    engine = Engine(disk / "root")
    try:
        engine.run("image", "load", "-i", str(busybox_archive))
        yield engine
    finally:
        (disk / "filler").unlink(missing_ok=True)
        engine.stop()
        libc.umount(str(disk))


def _fill(engine: Engine) -> Path:
    filler = engine.root.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def test_a_full_disk_is_said_and_once_there_is_room_all_works(small_disk: Engine, tmp_path: Path) -> None:
    talk = "sh -c 'while true; do echo talk; sleep 0.05; done'"
    text = _SLEEPER + f'  talker: {{image: busybox, command: "{talk}", stop_grace_period: 0s}}\n'
    folder = _write(tmp_path, text.replace("rough", "talks"))
    small_disk.run("up", "-d", "talker", cwd=folder)
    filler = _fill(small_disk)

    failed = small_disk.run("up", "-d", cwd=folder, status=None)
    supervisor = small_disk.pid("supervisor")
    filler.unlink()

    _assert_clear(failed)
    assert "space" in failed.err or "full" in failed.err, str(failed)
    small_disk.run("up", "-d", cwd=folder)
    assert small_disk.pid("supervisor") == supervisor
    small_disk.run("plan", "--detailed-exitcode", cwd=folder)
    small_disk.run("down", "-v", cwd=folder)
    assert wait_for_no_leftovers(small_disk.root) == []


def test_a_state_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    libc.mount("read-only", str(disk), "tmpfs", 1)
    try:
        failed = Engine(disk / "root").run("engine", "start", status=None)
    finally:
        libc.umount(str(disk))

    _assert_clear(failed, "error[state-root]", f"{disk}/root", "Read-only file system")


# Containers wired to a network and holding a port, so that each takes descriptors at many steps of its start.
_MANY = """\
name: means
services:
  many:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    stdin_open: true
    ports: ["127.0.0.1::80"]
    deploy: {replicas: 8}
"""


def _descriptors(pid: int) -> dict[int, str]:
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[int(path.name)] = os.readlink(path)
    return found


@pytest.fixture(scope="module")
def warm_engine(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The shared engine, with all open that it opens with the first network."""
    folder = _write(tmp_path_factory.mktemp("warm"), _MANY)
    shared_engine.run("up", "-d", cwd=folder)
    shared_engine.run("down", cwd=folder)
    return shared_engine


# How many more descriptors there are: some fewer than a single start takes, some enough for a few.
@pytest.mark.parametrize(("role", "more"), [("daemon", 1), *(("supervisor", n) for n in (1, 4, 9, 13, 17, 21, 30))])
def test_without_descriptors_up_fails_clearly_and_works_with_them_again(
    warm_engine: Engine, tmp_path: Path, role: str, more: int
) -> None:
    folder = _write(tmp_path, _MANY)
    pids = warm_engine.status()["pids"]
    opened = _descriptors(pids[role])
    before = resource.prlimit(pids[role], resource.RLIMIT_NOFILE)
    lowest = [number for number in range(1024) if number not in opened][more]
    resource.prlimit(pids[role], resource.RLIMIT_NOFILE, (lowest, before[1]))

    failed = warm_engine.run("up", "-d", cwd=folder, status=None)
    resource.prlimit(pids[role], resource.RLIMIT_NOFILE, before)

    _assert_clear(failed, "Too many open files")
    warm_engine.run("up", "-d", cwd=folder)
    assert warm_engine.status()["pids"] == pids
    assert len(warm_engine.run("ps", "-q", cwd=folder).out.split()) == 8
    warm_engine.run("plan", "--detailed-exitcode", cwd=folder)
    warm_engine.run("down", cwd=folder)
    assert wait_for_no_leftovers(warm_engine.root) == []
    wait_until("no descriptor is left over", lambda: len(_descriptors(pids[role])) <= len(opened))


# The daemon's threads count: one takes the request, others take the steps.
@pytest.mark.parametrize(("role", "more"), [("supervisor", 0), ("daemon", 0), ("daemon", 1), ("daemon", 3)])
def test_without_processes_up_fails_clearly_and_works_with_them_again(
    shared_engine: Engine, tmp_path: Path, role: str, more: int
) -> None:
    top = parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8")).v1.get("pids")
    if top is None:
        pytest.skip("needs the pids controller of cgroup version 1")
    folder = _write(tmp_path, _MANY)
    pids, full = shared_engine.status()["pids"], Path(top, "no-processes")
    full.mkdir()
    (full / "cgroup.procs").write_text(str(pids[role]))
    (full / "pids.max").write_text(str(len(os.listdir(f"/proc/{pids[role]}/task")) + more))

    failed = shared_engine.run("up", "-d", cwd=folder, status=None)
    Path(top, "cgroup.procs").write_text(str(pids[role]))
    full.rmdir()

    _assert_clear(failed, "temporarily unavailable" if role == "supervisor" else "thread")
    shared_engine.run("up", "-d", cwd=folder)
    assert shared_engine.status()["pids"] == pids
    shared_engine.run("down", cwd=folder)
    assert wait_for_no_leftovers(shared_engine.root) == []


def test_down_of_nothing_is_nothing_to_do(shared_engine: Engine, tmp_path: Path) -> None:
    shared_engine.run("down", "-v", cwd=_write(tmp_path, _SLEEPER))


_BAD_MANNERS = """\
name: manners
services:
  brief: {image: busybox, command: "true"}
  forks:
    image: busybox
    command: sh -c 'while true; do sleep 1000 & done'
    pids_limit: 20
    stop_grace_period: 0s
  stubborn:
    image: busybox
    command: sh -c 'trap "" TERM; while true; do sleep 1000; done'
    stop_grace_period: 0.2s
  lines:
    image: busybox
    command: sh -c 'head -c 10485760 /dev/zero | tr "\\0" x; echo; echo end'
  binary:
    image: busybox
    command: sh -c 'head -c 100000 /dev/urandom; echo; echo end'
  hangs:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    healthcheck: {test: [CMD, sleep, "1000"], interval: 0.2s, timeout: 0.2s, retries: 2}
"""


def test_containers_with_bad_manners_are_borne_and_taken_down(shared_engine: Engine, tmp_path: Path) -> None:
    folder = _write(tmp_path, _BAD_MANNERS)
    shared_engine.run("up", "-d", cwd=folder)

    def rows() -> dict[str, dict[str, object]]:
        found = shared_engine.run("ps", "-a", "--format", "json", cwd=folder).rows()
        return {row["Service"]: row for row in found}

    wait_until("the brief ones have ended", lambda: rows()["lines"]["State"] == rows()["binary"]["State"] == "exited")
    wait_until("the check that hangs fails", lambda: rows()["hangs"]["Health"] == "unhealthy")
    log = shared_engine.run("logs", "--no-log-prefix", "lines", cwd=folder).out
    binary = shared_engine.run("logs", "--no-log-prefix", "binary", cwd=folder).out

    states = {name: (row["State"], row["ExitCode"]) for name, row in rows().items()}
    assert states["brief"] == ("exited", 0)
    assert states["stubborn"][0] == "running"
    assert log.replace("\n", "") == "x" * (10 << 20) + "end"
    assert binary.endswith("\nend\n")
    shared_engine.run("down", "-v", cwd=folder)


def test_names_at_the_limits_work_and_beyond_are_refused(shared_engine: Engine, tmp_path: Path) -> None:
    project, service = "p" * 60, "s" * 63
    text = f"name: {project}\nservices:\n  {service}: {{image: busybox, command: sleep 9, stop_grace_period: 0s}}\n"
    folder = _write(tmp_path, text)
    shared_engine.run("up", "-d", cwd=folder)
    shared_engine.run("down", cwd=folder)

    _write(tmp_path, _SLEEPER + f"    container_name: {'c' * 300}\n")
    _assert_clear(shared_engine.run("up", "-d", cwd=folder, status=None), "c" * 300)
    shared_engine.run("down", cwd=folder)


def _damage(engine: Engine, *what: str) -> None:
    """Break records of the engine while nobody of it lives."""
    kill_at_once([engine.status()["pids"][role] for role in ("keeper", "daemon", "supervisor")])
    database = engine.root / "supervisor.db"
    for spec in engine.root.glob("containers/*/spec.json") if "specification" in what else ():
        spec.write_text(json.dumps({"spec": 1}), encoding="utf-8")
    for copy in engine.live.glob("life-*") if "copy" in what else ():
        copy.unlink()
    with closing(sqlite3.connect(database)) as opened:
        for damage in what:
            if damage in _STATEMENTS:
                opened.execute(_STATEMENTS[damage])
        opened.commit()
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if "pages" in what:
        with database.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(database.stat().st_size - 4096))
    if "database" in what:
        database.write_bytes(b"no database at all" * 1000)


_STATEMENTS = {
    "row": "UPDATE container SET facts = '{'",
    "senseless row": """UPDATE container SET phase = 'asleep', facts = '{"pid": "me", "ports": 3}'""",
    "wrong row": "UPDATE container SET phase = 'exited', facts = json_set(facts, '$.pid', 999999999999)",
    "index": "DELETE FROM specification",
}


_DAMAGES = [
    ("row",),
    ("senseless row",),
    ("wrong row",),
    ("pages",),
    ("database", "specification"),
    ("row", "specification", "index"),
    ("specification", "copy"),
]


def test_running_containers_do_not_notice_that_records_are_damaged(shared_engine: Engine, tmp_path: Path) -> None:
    port = free_port()
    serve = "sh -c 'echo hello >/www/index.html; exec httpd -f -h /www -p 80'"
    web = f'  web: {{image: busybox, command: "{serve}", stop_grace_period: 0s, ports: ["127.0.0.1:{port}:80"]}}\n'
    folder = _write(tmp_path, _SLEEPER + web)
    shared_engine.run("up", "-d", cwd=folder)
    client = EngineClient(shared_engine.status()["api"])
    before = [client.inspect_container(f"rough-{name}-1")["State"] for name in ("one", "web")]
    for damage in _DAMAGES:
        _damage(shared_engine, *damage)

        shared_engine.run("plan", "--detailed-exitcode", cwd=folder)

        assert [client.inspect_container(f"rough-{name}-1")["State"] for name in ("one", "web")] == before, damage
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.read() == b"hello\n", damage
    found = shared_engine.run("exec", "-T", "one", "wget", "-qO-", "http://web/", cwd=folder)
    assert found.out == "hello\n"
    shared_engine.run("down", "-v", cwd=folder)
    assert wait_for_no_leftovers(shared_engine.root) == []


def test_the_exit_code_of_what_ran_outlives_its_row(shared_engine: Engine, tmp_path: Path) -> None:
    folder = _write(tmp_path, _SLEEPER)
    shared_engine.run("up", "-d", cwd=folder)
    pids = shared_engine.status()["pids"]
    process = EngineClient(shared_engine.status()["api"]).inspect_container("rough-one-1")["State"]["Pid"]
    os.kill(pids["supervisor"], signal.SIGSTOP)
    os.kill(process, signal.SIGKILL)
    wait_until("it is reaped", lambda: not Path(f"/proc/{process}").exists())
    with closing(sqlite3.connect(shared_engine.root / "supervisor.db")) as opened:
        opened.execute(_STATEMENTS["row"])
        opened.commit()
    kill_at_once([pids["supervisor"], pids["daemon"]])

    (row,) = shared_engine.run("ps", "-a", "--format", "json", cwd=folder).rows()

    assert (row["State"], row["ExitCode"]) == ("exited", 128 + signal.SIGKILL)
    shared_engine.run("down", cwd=folder)


def test_a_stopped_container_keeps_its_files_when_records_are_damaged(engine: Engine, tmp_path: Path) -> None:
    folder = _write(tmp_path, _SLEEPER)
    engine.run("up", "-d", cwd=folder)
    engine.run("exec", "-T", "one", "touch", "/written", cwd=folder)
    engine.run("stop", cwd=folder)
    _damage(engine, "pages")

    engine.run("up", "-d", cwd=folder)

    engine.run("exec", "-T", "one", "test", "-e", "/written", cwd=folder)
    engine.run("down", "-v", cwd=folder)


def test_what_a_container_wrote_outlives_its_specification(engine: Engine, tmp_path: Path) -> None:
    folder = _write(tmp_path, _SLEEPER)
    engine.run("up", "-d", cwd=folder)
    engine.run("exec", "-T", "one", "sh", "-c", "echo precious >/written", cwd=folder)
    engine.run("stop", cwd=folder)
    _damage(engine, "specification", "index")

    said = engine.run("up", "-d", cwd=folder).err

    (kept,) = (engine.root / "set-aside").iterdir()
    notice = f"the specification of a container cannot be read; what it wrote is kept in {kept}/upper\n"
    hint = "hint: take what you need; `stackctl engine set-aside --remove NAME` deletes it\n"
    assert f"warning[kept-files]: A container was lost\n{notice}{hint}" in said
    assert kept.name.startswith("rough-one-1-")
    assert (kept / "upper/written").read_text(encoding="utf-8") == "precious\n"
    assert notice in engine.run("engine", "status", cwd=folder).out
    assert f"! engine:                {notice}" in engine.run("doctor", cwd=folder).out
    listed = engine.run("ps", "-a", "--format", "json", cwd=folder)
    assert [row["State"] for row in listed.rows()] == ["running"]
    assert notice in listed.err
    engine.run("down", "-v", cwd=folder)
    assert engine.run("engine", "set-aside").out == f"{kept}/upper\n"
    _assert_clear(engine.run("engine", "uninstall", status=None), kept.name)
    engine.run("engine", "set-aside", "--remove", kept.name)
    assert not kept.exists()
    assert engine.run("ps", "-a", cwd=folder).err == ""


@pytest.mark.parametrize("damage", [b"no database at all" * 1000, b""])
def test_a_damaged_index_of_images_is_made_anew_from_their_files(
    shared_engine: Engine, tmp_path: Path, damage: bytes
) -> None:
    folder = _write(tmp_path, _SLEEPER)
    shared_engine.run("up", "-d", cwd=folder)
    before = shared_engine.run("image", "ls", "--format", "json").out
    kill_at_once([shared_engine.pid("daemon")])
    for path in (shared_engine.root / "images").glob("images.db*"):
        path.write_bytes(damage)

    status = shared_engine.run("engine", "status").out

    assert "the index of images was damaged" in status
    assert shared_engine.run("image", "ls", "--format", "json").out == before
    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    shared_engine.run("up", "-d", "--force-recreate", cwd=folder)
    shared_engine.run("down", cwd=folder)


def test_containers_on_a_network_whose_record_was_lost_are_made_anew_with_it(
    shared_engine: Engine, tmp_path: Path
) -> None:
    two = "  two: {image: busybox, command: sleep 1000, stop_grace_period: 0s}\n"
    folder = _write(tmp_path, _SLEEPER + two)
    shared_engine.run("up", "-d", cwd=folder)
    (shared_engine.root / "networks/rough_default.json").write_bytes(b"{")
    kill_at_once([shared_engine.pid("supervisor")])

    planned = shared_engine.run("plan", cwd=folder).out
    shared_engine.run("up", "-d", cwd=folder)

    assert "is cut off from its network" in planned
    shared_engine.run("exec", "-T", "one", "ping", "-c", "1", "-W", "5", "two", cwd=folder)
    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    shared_engine.run("down", "-v", cwd=folder)
    assert wait_for_no_leftovers(shared_engine.root) == []


@pytest.mark.parametrize(("role", "command"), [("supervisor", "up -d"), ("daemon", "ps")])
def test_a_process_of_the_engine_that_was_stopped_is_named(
    shared_engine: Engine, tmp_path: Path, role: str, command: str
) -> None:
    folder = _write(tmp_path, _SLEEPER)
    pid = shared_engine.pid(role)
    os.kill(pid, signal.SIGSTOP)
    try:
        failed = shared_engine.run(*command.split(), cwd=folder, status=None, timeout_s=25)
    finally:
        os.kill(pid, signal.SIGCONT)

    _assert_clear(failed, "error[engine-stopped]", f"{role} (process {pid})", f"kill -CONT {pid}")
    shared_engine.run("up", "-d", cwd=folder)
    shared_engine.run("down", cwd=folder)
