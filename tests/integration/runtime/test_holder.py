"""The holder: what it keeps, and what is said when that cannot be had back."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.runtime.holder import Holder, take_back
from stackctl.runtime.kept import KeptDescriptors
from stackctl.runtime.kernel import tiny_holder
from stackctl.runtime.kernel.process import start_ticks
from stackctl.runtime.loop import Loop
from stackctl.runtime.paths import EnginePaths


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[EnginePaths]:
    made = EnginePaths(str(tmp_path / "root"), f"t{os.getpid() % 100000:05}")
    made.make()
    yield made
    for path in Path(made.run).iterdir():
        path.unlink()
    Path(made.run).rmdir()


def _queue() -> tuple[int, int]:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return first.detach(), second.detach()


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_was_kept_is_there_again_when_all_but_the_holder_let_go(paths: EnginePaths) -> None:
    ends = _queue()
    helpers: set[int] = set()
    holder = Holder(paths, ends, Loop(), helpers)
    holder.need("one")
    reading, writing = os.pipe()
    kept = KeptDescriptors(*ends)
    kept.keep("one/stdin", writing)
    kept.close()
    for fd in (*ends, writing):
        os.close(fd)

    taken = take_back(paths)

    assert taken is not None
    again = KeptDescriptors(*taken)
    found = again.recover()
    os.write(found["one/stdin"], b"still open")
    assert os.read(reading, 100) == b"still open"
    holder.release("one")
    for pid in helpers:
        os.waitpid(pid, 0)
    again.close()
    for fd in (*taken, found["one/stdin"], reading):
        os.close(fd)


def test_a_holder_whose_queue_was_not_had_back_is_left_alone_and_told(paths: EnginePaths) -> None:
    lost, ours = _queue(), _queue()
    pid = tiny_holder.spawn(lost, "lost")
    Path(paths.holders).write_text(json.dumps([[pid, start_ticks(pid)]]))
    helpers: set[int] = set()
    loop = Loop()

    holder = Holder(paths, ours, loop, helpers)
    holder.need("new")
    holder.release("new")

    (notice,) = holder.notices()
    assert f"process {pid} holds them" in notice
    assert json.loads(Path(paths.holders).read_text()) == [[pid, start_ticks(pid)]]
    (mine,) = helpers
    assert os.waitstatus_to_exitcode(os.waitpid(mine, 0)[1]) == -signal.SIGKILL
    _end(pid)
    for fd in (*lost, *ours):
        os.close(fd)


def test_a_record_of_another_process_is_not_believed(paths: EnginePaths) -> None:
    Path(paths.holders).write_text(json.dumps([[os.getpid(), start_ticks(os.getpid())]]))
    assert take_back(paths) is None
