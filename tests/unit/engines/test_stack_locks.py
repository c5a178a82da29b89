"""Who changes a stack on an engine that is not ours keeps others from it, for as long as that takes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest

from stackctl.engines.stack_locks import FileLocks
from stackctl.errors import PrivilegeError


def told(_: dict[str, Any]) -> None:
    raise AssertionError("there is nobody to wait for")


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    told_second: SimpleQueue[Any] = SimpleQueue()
    first, second = FileLocks(f"{tmp_path}/locks", "engine"), FileLocks(f"{tmp_path}/locks", "engine")

    def change() -> None:
        with second.locked("shop", told_second.put):
            told_second.put("has it")

    other = Thread(target=change, daemon=True)
    with first.locked("shop", told):
        other.start()
        assert told_second.get(timeout=20)["event"] == "waiting"
        assert told_second.empty()
    assert told_second.get(timeout=20) == "has it"
    other.join(timeout=20)


def test_other_stacks_and_other_engines_are_not_kept_from_anything(tmp_path: Path) -> None:
    folder = f"{tmp_path}/locks"
    with (
        FileLocks(folder, "engine").locked("shop", told),
        FileLocks(folder, "engine").locked("other", told),
        FileLocks(folder, "another").locked("shop", told),
    ):
        assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives a folder to somebody else")
def test_a_folder_that_is_somebody_else_s_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    os.chown(tmp_path / "locks", 12345, 12345)
    with pytest.raises(PrivilegeError), FileLocks(f"{tmp_path}/locks", "engine").locked("shop", told):
        pass
