"""Streams own their descriptors until they are closed, and not a moment longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stackctl.engines.streams import STDERR, STDOUT, LogStreams, ProcessStreams


def process_streams(_: Path) -> ProcessStreams:
    output, other_end = os.pipe()
    os.close(other_end)
    return ProcessStreams(stdin_fd=-1, output={output: STDOUT}, is_terminal=False)


def log_streams(folder: Path) -> LogStreams:
    return LogStreams(str(folder), is_terminal=False, from_start=True)


def test_closing_closes_the_process_s_pipes_and_nothing_else() -> None:
    pipes = [os.pipe() for _ in range(3)]
    output = {pipes[0][0]: STDOUT, pipes[1][0]: STDERR}
    streams = ProcessStreams(stdin_fd=pipes[2][1], output=output, is_terminal=False)

    streams.close()

    # Not 1 and 2, which are what the pipes are called: those descriptors are somebody else's.
    for fd in (1, 2, pipes[0][1], pipes[1][1], pipes[2][0]):
        os.fstat(fd)
    for fd in (*output, pipes[2][1]):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    for fd in (pipes[0][1], pipes[1][1], pipes[2][0]):
        os.close(fd)


@pytest.mark.parametrize("make", [process_streams, log_streams])
def test_closing_again_leaves_descriptors_of_others_alone(
    tmp_path: Path, make: Callable[[Path], ProcessStreams | LogStreams]
) -> None:
    streams = make(tmp_path)
    streams.close()
    # The kernel hands out the lowest free number: these get those that were just closed.
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]

    streams.stop()
    streams.close()

    for fd in others:
        os.fstat(fd)
        os.close(fd)
