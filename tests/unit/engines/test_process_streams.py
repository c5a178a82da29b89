"""The streams of a process in a container."""

from __future__ import annotations

import os
import threading

import pytest

from stackctl.engines.streams import STDERR, STDOUT, ProcessStreams


def _pipes() -> tuple[ProcessStreams, int, int, int]:
    """Return streams, and the process's ends of stdin, stdout and stderr."""
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
    streams = ProcessStreams(stdin_fd=in_write, output={out_read: STDOUT, err_read: STDERR}, is_terminal=False)
    return streams, in_read, out_write, err_write


def test_close_closes_all_that_is_theirs_and_nothing_else() -> None:
    before = {name: os.readlink(f"/proc/self/fd/{name}") for name in ("0", "1", "2")}
    count = len(os.listdir("/proc/self/fd"))
    streams, *process_ends = _pipes()

    streams.close()
    streams.close()

    for fd in process_ends:
        os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == count
    assert {name: os.readlink(f"/proc/self/fd/{name}") for name in before} == before


def test_reading_ends_with_the_process() -> None:
    streams, in_read, out_write, err_write = _pipes()
    os.write(out_write, b"out")
    os.write(err_write, b"err")
    os.close(out_write)
    os.close(err_write)

    assert dict(streams.read()) == {STDOUT: b"out", STDERR: b"err"}
    assert streams.has_ended
    streams.close()
    os.close(in_read)


def test_a_writer_that_the_process_does_not_read_from_can_be_stopped() -> None:
    streams, in_read, out_write, err_write = _pipes()
    writer = threading.Thread(target=streams.write, args=(bytes(10_000_000),))
    writer.start()
    os.read(in_read, 1)  # it has begun

    streams.stop()
    writer.join(10)

    assert not writer.is_alive()
    streams.close()
    for fd in (in_read, out_write, err_write):
        os.close(fd)


def test_large_input_arrives_whole() -> None:
    streams, in_read, out_write, err_write = _pipes()
    sent = os.urandom(3_000_000)

    def write() -> None:
        streams.write(sent)
        streams.close_stdin()

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(in_read, "rb") as reader:
        received = reader.read()
    writer.join(10)

    assert received == sent
    streams.close()
    os.close(out_write)
    os.close(err_write)


@pytest.mark.parametrize("size", [(24, 80), (65535, 1)])
def test_a_terminal_gets_its_size(size: tuple[int, int]) -> None:
    master, slave = os.openpty()
    streams = ProcessStreams(stdin_fd=master, output={master: STDOUT}, is_terminal=True)

    streams.resize(*size)

    columns, lines = os.get_terminal_size(slave)
    assert (lines, columns) == size
    os.close(slave)
    assert list(streams.read()) == []
    streams.close()
