"""A command at a terminal of its own, as a user sits at one."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_TIMEOUT_S = 30.0


class Terminal:
    """A process whose standard streams and controlling terminal are one new terminal."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, columns: int = 100, lines: int = 30
    ) -> None:
        self._master, slave = os.openpty()
        self.resize(columns, lines)
        self.shown = ""
        self._process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm", **env},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys; Ctrl-C is ``\\x03``."""
        os.write(self._master, keys.encode())

    def read_until(self, text: str | Callable[[str], object], *, timeout_s: float = _TIMEOUT_S) -> str:
        """Read until ``text`` is shown, after what was found before; return all up to and with it."""
        deadline = time.monotonic() + timeout_s
        while not (text in self.shown if isinstance(text, str) else text(self.shown)):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                what = repr(text) if isinstance(text, str) else "what was waited for"
                raise AssertionError(f"{what} was never shown; this was:\n{self.shown}")
        at = self.shown.index(text) + len(text) if isinstance(text, str) else len(self.shown)
        found, self.shown = self.shown[:at], self.shown[at:]
        return found

    def wait(self, *, timeout_s: float = _TIMEOUT_S) -> int:
        """Read to the end; return the exit status. ``shown`` has what was not read before."""
        deadline = time.monotonic() + timeout_s
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def settings(self) -> list[object]:
        """Return the terminal's settings, to be compared."""
        return termios.tcgetattr(self._master)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the last process is gone
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        os.close(self._master)


def stackctl_argv(*arguments: str) -> list[str]:
    """Return the command line of ``stackctl``."""
    return [str(Path(sys.executable).with_name("stackctl")), *arguments]
