"""The program behind ``init: true``, run as the plain process it is."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys

import pytest

from stackctl.runtime.kernel import tiny_init
from tests.support.engine import wait_until

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is for x86_64 alone")

_PR_SET_CHILD_SUBREAPER = 36


def _start(*argv: str) -> subprocess.Popen[bytes]:
    fd = tiny_init.program_fd()

    def be_subreaper() -> None:
        # Stands for being number 1 of a pid namespace: orphans below come to it.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    return subprocess.Popen(
        ["init", *argv],
        executable=f"/proc/self/fd/{fd}",
        pass_fds=(fd,),
        preexec_fn=be_subreaper,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_it_ends_as_its_child_does(script: str, code: int) -> None:
    with _start("/bin/sh", "-c", script) as process:
        assert process.wait(10) == code


def test_it_ends_with_127_where_there_is_no_such_program() -> None:
    with _start("/nosuch") as process:
        assert process.wait(10) == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3])
def test_signals_reach_the_child(number: int) -> None:
    code = f"import signal; print(signal.sigwait([{int(number)}]), flush=True)"
    block = f"import signal; signal.pthread_sigmask(0, [{int(number)}]); print('ready', flush=True); {code}"
    with _start(sys.executable, "-c", block) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)

        assert int(process.stdout.readline()) == number
        assert process.wait(10) == 0


def test_the_child_has_no_signal_blocked() -> None:
    with _start("/bin/sh", "-c", "grep SigBlk /proc/self/status") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"SigBlk:\t0000000000000000\n"


def test_orphans_are_reaped() -> None:
    script = "(sleep 0.01 & echo $!); while ! [ -e /proc/self/fd/99 ]; do sleep 0.05; done"
    with _start("/bin/sh", "-c", script) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())

        wait_until("the orphan is gone", lambda: not os.path.exists(f"/proc/{orphan}"))
        process.terminate()

        assert process.wait(10) == 128 + signal.SIGTERM
