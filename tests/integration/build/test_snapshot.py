"""From an overlay's upper folder to a layer: what its tar extracts to is what was there, and stays the same."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackctl.images.extract import extract
from stackctl.images.snapshot import take_snapshot
from stackctl.images.tree import OPAQUE


def upper(folder: Path) -> Path:
    """Make what an overlay leaves: whiteouts, an opaque folder, links, nodes, attributes of its own."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/file").write_bytes(b"content")
    os.chown(folder / "etc/file", 7, 8)
    (folder / "etc/file").chmod(0o4711)
    os.setxattr(folder / "etc/file", "user.kept", b"1")
    os.link(folder / "etc/file", folder / "etc/twin")
    os.symlink("/nowhere", folder / "link")
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "gone", stat.S_IFCHR, os.makedev(0, 0))
    (folder / "anew").mkdir()
    os.setxattr(folder / "anew", OPAQUE, b"y")
    os.setxattr(folder / "etc", "trusted.overlay.origin", b"elsewhere")
    os.setxattr(folder / "anew", "trusted.overlay.impure", b"y")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    return folder


def _attributes(path: Path) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def facts(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in _attributes(path)}
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = os.readlink(path) if path.is_symlink() else ""
        # When something was removed, no tar can say.
        time = 0.0 if stat.S_ISCHR(status.st_mode) else status.st_mtime
        numbers = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_nlink, time)
        found[str(path.relative_to(folder))] = (*numbers, attributes, content, target)
    return found


def test_a_layer_extracts_to_what_it_was_made_of(tmp_path: Path) -> None:
    source = upper(tmp_path / "upper")
    (tmp_path / "work").mkdir()
    layer = take_snapshot(str(source), str(tmp_path / "work"), str(tmp_path / "layer.tar"))
    (moved,) = (tmp_path / "work").glob("layer-*/fs")
    assert not source.exists()
    names = {name for path in moved.rglob("*") for name in _attributes(path)}
    assert names == {"user.kept", OPAQUE}

    (tmp_path / "back").mkdir()
    root = os.open(tmp_path / "back", os.O_RDONLY | os.O_DIRECTORY)
    extract(iter([Path(layer.path).read_bytes()]), root, "it")
    os.close(root)
    assert facts(tmp_path / "back") == facts(moved)


def test_the_same_files_have_the_same_digest_whenever_they_were_made(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / f"work-{name}").mkdir()
        source = upper(tmp_path / name)
        digests.add(take_snapshot(str(source), str(tmp_path / f"work-{name}"), str(tmp_path / f"{name}.tar")).diff_id)
    assert len(digests) == 1


def test_what_is_only_a_reference_to_layers_below_is_refused_not_lost(tmp_path: Path) -> None:
    (tmp_path / "upper/moved").mkdir(parents=True)
    os.setxattr(tmp_path / "upper/moved", "trusted.overlay.redirect", b"/from")
    (tmp_path / "work").mkdir()
    with pytest.raises(OSError, match="a reference"):
        take_snapshot(str(tmp_path / "upper"), str(tmp_path / "work"), str(tmp_path / "layer.tar"))
