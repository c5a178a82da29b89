"""What an administrator, or a script gone wild, may do to the files of an engine that runs: it comes back by itself."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from stackctl.client.engine_client import EngineClient
from stackctl.runtime.kernel import rtnetlink
from stackctl.runtime.kernel.netlink import Message, Netlink
from stackctl.runtime.network.bridges import our_bridges
from tests.support.engine import Engine, kill_at_once
from tests.support.leaks import wait_for_no_leftovers
from tests.support.ports import free_port

pytestmark = pytest.mark.changes_shared_engine

_STACK = """\
name: rough
services:
  one: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
  typed: {image: busybox, command: cat, stdin_open: true, stop_grace_period: 0s}
"""


def _delete_live_part(engine: Engine) -> None:
    shutil.rmtree(engine.live)


def _delete_sockets(engine: Engine) -> None:
    for name in ("api.sock", "supervisor.sock"):
        (engine.live / name).unlink()


def _delete_own_code(engine: Engine) -> None:
    pids = engine.status()["pids"]
    shutil.rmtree(engine.root / "code")
    kill_at_once([pids["supervisor"], pids["daemon"], pids["keeper"]])


def _delete_engine_id(engine: Engine) -> None:
    (engine.root / "engine-id").unlink()


def _truncate_journal(engine: Engine) -> None:
    os.truncate(engine.live / "exits", 0)


def _delete_logs(engine: Engine) -> None:
    for path in engine.root.glob("containers/*/log/*"):
        path.unlink()


def _take_down(name: str) -> Message:
    """The opposite of what ``set_up`` asks for: the flag is among those to be changed, and not set."""
    message = rtnetlink.set_up(socket.if_nametoindex(name))
    family, kind, index, _, changed = struct.unpack_from("=BxHiII", message.body)
    return message._replace(body=struct.pack("=BxHiII", family, kind, index, 0, changed))


_ABUSES = [_delete_engine_id, _truncate_journal, _delete_logs, _delete_sockets, _delete_live_part, _delete_own_code]


@pytest.mark.parametrize("abuse", _ABUSES, ids=lambda abuse: abuse.__name__.strip("_"))
def test_an_abused_engine_is_well_again_with_the_next_command_and_its_containers_go_on(
    shared_engine: Engine, tmp_path: Path, abuse: Callable[[Engine], None]
) -> None:
    folder, port = tmp_path, free_port()
    serve = "sh -c 'echo hello >/www/index.html; exec httpd -f -h /www -p 80'"
    web = f'  web: {{image: busybox, command: "{serve}", stop_grace_period: 0s, ports: ["127.0.0.1:{port}:80"]}}\n'
    (folder / "compose.yaml").write_text(_STACK + web, encoding="utf-8")
    shared_engine.run("up", "-d", cwd=folder)
    client = EngineClient(shared_engine.status()["api"])
    before = [client.inspect_container(f"rough-{name}-1")["State"] for name in ("one", "web", "typed")]

    abuse(shared_engine)

    shared_engine.run("plan", "--detailed-exitcode", cwd=folder)
    assert [client.inspect_container(f"rough-{name}-1")["State"] for name in ("one", "web", "typed")] == before
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        assert answer.read() == b"hello\n"
    assert shared_engine.run("exec", "-T", "one", "wget", "-qO-", "http://web/", cwd=folder).out == "hello\n"
    shared_engine.run("kill", "web", cwd=folder)
    (row,) = shared_engine.run("ps", "-a", "--format", "json", "web", cwd=folder).rows()
    assert row["ExitCode"] == 128 + signal.SIGKILL
    shared_engine.run("logs", cwd=folder)
    shared_engine.run("down", "-v", cwd=folder)
    assert wait_for_no_leftovers(shared_engine.root) == []


@pytest.mark.parametrize(
    ("change", "mends"),
    [(rtnetlink.delete_link, "restart -t 0"), (_take_down, "restart -t 0"), (rtnetlink.delete_link, "up -d -t 0")],
)
def test_a_bridge_that_was_deleted_is_told_of_and_a_restart_or_up_mends_it(
    shared_engine: Engine, tmp_path: Path, change: Callable[[str], Message], mends: str
) -> None:
    (tmp_path / "compose.yaml").write_text(_STACK, encoding="utf-8")
    shared_engine.run("up", "-d", cwd=tmp_path)
    with Netlink() as netlink:
        (bridge,) = our_bridges((shared_engine.root / "engine-id").read_text(), netlink=netlink)
        netlink.transact([change(bridge.name)])

    notice = f"the interface {bridge.name} of network rough_default was deleted or is down"
    assert notice in shared_engine.run("engine", "status").out
    shared_engine.run(*mends.split(), cwd=tmp_path)

    assert notice not in shared_engine.run("engine", "status").out
    shared_engine.run("exec", "-T", "one", "ping", "-c", "1", "-W", "5", "typed", cwd=tmp_path)
    shared_engine.run("down", "-v", cwd=tmp_path)
