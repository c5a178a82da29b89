"""Descriptors in the keeper's hands."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stackctl.model.container import LogPolicy
from stackctl.runtime.kept import KeptDescriptors
from stackctl.runtime.log_writer import LogWriter


class _Unwatched:
    """A loop that watches nothing."""

    def register(self, fd: int, callback: object) -> None: ...
    def unregister(self, fd: int) -> None: ...


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """What the keeper holds."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends[0].fileno(), ends[1].fileno()
    for end in ends:
        end.close()


@pytest.fixture
def kept(pair: tuple[int, int]) -> Iterator[KeptDescriptors]:
    """What one supervisor keeps."""
    found = KeptDescriptors(*pair)
    yield found
    found.close()


def test_a_successor_gets_the_pipes_of_running_containers_and_no_others(
    pair: tuple[int, int], kept: KeptDescriptors, tmp_path: Path
) -> None:
    alive_read, alive_write = os.pipe()
    kept.keep("alive/1", alive_read)
    os.write(alive_write, b"still here")

    for number in range(60):  # more than are let lie in the queue
        writer = LogWriter(str(tmp_path / str(number)), LogPolicy(), _Unwatched())
        writer.open()
        for stream in (1, 2):
            read_end, write_end = os.pipe()
            name = f"{number}/{stream}"
            kept.keep(name, read_end)
            writer.add(read_end, stream, partial(kept.drop, name))
            os.close(write_end)
        writer.finish()
    kept.close()
    successor = KeptDescriptors(*pair)
    found = successor.recover()
    successor.close()

    assert os.read(found["alive/1"], 100) == b"still here"
    assert len(found) < 60
    for fd in (*found.values(), alive_read, alive_write):
        os.close(fd)


def test_what_is_withdrawn_is_closed_everywhere(kept: KeptDescriptors) -> None:
    read_end, write_end = os.pipe()
    kept.keep("it/stdin", write_end)

    kept.withdraw("it/stdin")
    os.close(write_end)

    assert select.select([read_end], [], [], 0)[0], "the reader waits for an end that does not come"
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_of_two_descriptors_under_one_name_the_last_counts(pair: tuple[int, int], kept: KeptDescriptors) -> None:
    first, second = os.pipe(), os.pipe()
    kept.keep("it/1", first[0])
    kept.drop("it/1")
    kept.keep("it/1", second[0])
    kept.close()
    os.write(second[1], b"second")

    successor = KeptDescriptors(*pair)
    found = successor.recover()
    successor.close()

    assert os.read(found["it/1"], 100) == b"second"
    for fd in (*first, *second, found["it/1"]):
        os.close(fd)
