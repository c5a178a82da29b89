"""Copying trees: nothing is lost or changed on the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackctl.engines.copy_tree import copy_tree
from stackctl.errors import EngineError
from tests.support.trees import everything

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def test_a_tree_is_copied_as_it_is_and_the_source_stays(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a/b").mkdir(parents=True)
    (source / "a/file").write_bytes(os.urandom(3_000_000))
    os.link(source / "a/file", source / "a/b/same")
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo", 0o640)
    os.mknod(source / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    with (source / "holes").open("wb") as file:
        file.truncate(50_000_000)
        file.seek(20_000_000)
        file.write(b"island")
    (source / "odd \udcff\nname").write_text("")
    os.chown(source / "a", 1234, 99)
    os.chown(source / "link", 7, 8, follow_symlinks=False)
    (source / "a").chmod(0o2751)
    os.setxattr(source / "a/file", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.chmod(source / "a/b", 0o1777)
    os.setxattr(source / "a", "trusted.mine", b"\0\1")
    os.utime(source / "a/file", ns=(1, 1_234_567_890_123_456_789))
    os.utime(source, ns=(2, 3))
    target.mkdir()
    before = everything(source)

    copied = copy_tree(str(source), str(target))

    assert everything(target) == everything(source) == before
    assert (copied.files, (target / "holes").stat().st_blocks) == (6, (source / "holes").stat().st_blocks)
    assert copied.bytes < 4_000_000
    assert (target / "holes").stat().st_blocks * 512 < 1_000_000


def test_what_cannot_be_copied_is_named(tmp_path: Path) -> None:
    (tmp_path / "source/a").mkdir(parents=True)
    (tmp_path / "source/a/x").touch()
    (tmp_path / "target/a").mkdir(parents=True)
    with pytest.raises(EngineError, match=r"^a cannot be copied: file exists$"):
        copy_tree(str(tmp_path / "source"), str(tmp_path / "target"))
