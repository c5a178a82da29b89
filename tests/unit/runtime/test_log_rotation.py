"""A log that cannot begin its next file goes on in the present one."""

from __future__ import annotations

import os
from pathlib import Path

from stackctl.model.container import LogPolicy
from stackctl.runtime.log_files import STDOUT
from stackctl.runtime.log_writer import LogWriter
from stackctl.runtime.loop import Loop


def test_what_is_said_while_there_is_no_next_file_is_kept(tmp_path: Path) -> None:
    loop = Loop()
    writer = LogWriter(str(tmp_path), LogPolicy(max_bytes=4, max_files=3), loop)
    writer.open()
    read_end, write_end = os.pipe()
    writer.add(read_end, STDOUT)
    # In the way of the next file, as a full disk or want of a descriptor would be.
    (tmp_path / "1.log").mkdir()

    def say(text: bytes) -> None:
        os.write(write_end, text)
        loop.call_later(0, loop.stop)
        loop.run()

    say(b"first ")
    say(b"second ")
    (tmp_path / "1.log").rmdir()
    say(b"third ")
    say(b"fourth")
    os.close(write_end)
    writer.finish()
    loop.close()

    assert (tmp_path / "0.log").read_bytes() == b"first second third "
    assert (tmp_path / "1.log").read_bytes() == b"fourth"
