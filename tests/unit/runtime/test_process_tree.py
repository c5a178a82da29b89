"""Killing a process with all it started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from stackctl.runtime.kernel import process
from tests.support.engine import wait_until


def _is_alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def test_children_orphans_of_the_session_and_leaders_below_die_with_it() -> None:
    script = "sleep 900 & echo $!; (sleep 901 & echo $!); setsid sleep 902 & echo $!; echo $$; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as top:
        assert top.stdout is not None
        pids = [int(top.stdout.readline()) for _ in range(4)]
        wait_until("all have begun", lambda: all(_is_alive(pid) for pid in pids))
        pidfd = os.pidfd_open(top.pid)
        try:
            process.kill_tree(top.pid, pidfd)
        finally:
            os.close(pidfd)

        wait_until("none is left", lambda: not [pid for pid in pids if _is_alive(pid)])


def test_others_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "900"]) as other:
        with subprocess.Popen(["sleep", "901"], start_new_session=True) as top:
            pidfd = os.pidfd_open(top.pid)
            try:
                process.kill_tree(top.pid, pidfd)
            finally:
                os.close(pidfd)
            assert top.wait(10) == -9

        assert other.poll() is None
        other.kill()


def test_an_identity_is_asked_for_by_inode_or_by_time() -> None:
    with subprocess.Popen(["sleep", "900"]) as child:
        pidfd = os.pidfd_open(child.pid)
        try:
            assert process.identity(pidfd, by_inode=False) == process.start_ticks(child.pid)
            assert process.identity(pidfd) == process.identity(pidfd)
        finally:
            os.close(pidfd)
            child.kill()
