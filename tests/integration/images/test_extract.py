"""Extraction of layers: held against the standard library's, and against archives meant to do harm."""

from __future__ import annotations

import os
import random
import stat
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.errors import ImageError
from stackctl.images.extract import Extracted, extract
from stackctl.images.tree import OPAQUE, is_whiteout
from tests.support.images import entry, tar_of

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
Entries = list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "layer"
    path.mkdir(mode=0o700)
    return path


def place(root: Path, data: bytes) -> Extracted:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return extract(iter([data]), fd, "the layer")
    finally:
        os.close(fd)


def refusal(root: Path, entries: Entries) -> str:
    before = {path: path.stat() for path in root.parent.iterdir()}
    with pytest.raises(ImageError) as caught:
        place(root, tar_of(entries))
    assert set(root.parent.iterdir()) == set(before)
    return caught.value.message


def pax(name: str, kind: bytes = tarfile.REGTYPE, /, **headers: str) -> tarfile.TarInfo:
    return entry(name, kind, pax_headers={key.replace("__", "."): value for key, value in headers.items()})


def survey(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything about everything below ``root``, hard links by their smallest name."""
    first: dict[int, str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([root, *root.rglob("*")]):
        name = str(path.relative_to(root))
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        link = os.readlink(path) if path.is_symlink() else ""
        is_dir = stat.S_ISDIR(status.st_mode)
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            0 if is_dir else status.st_size,
            content,
            link,
            "" if is_dir else first.setdefault(status.st_ino, name),
        )
    return found


def generated(seed: int) -> Entries:
    """Return a tree of some hundred entries of every kind, folders before what is in them."""
    dice = random.Random(seed)
    entries: Entries = [entry(".", tarfile.DIRTYPE, mode=0o755)]
    folders: list[str] = [""]
    files: list[tarfile.TarInfo] = []
    for number in range(300):
        name = f"{dice.choice(folders)}{dice.choice('abcä')}{number}{'x' * dice.choice((0, 5, 120))}"
        kind = dice.choice("dfffffslhcbp")
        if kind == "l" and not files:
            kind = "f"
        mode = dice.choice((0o644, 0o600, 0o4755, 0o2755, 0o1777, 0o000))
        owner = {"uid": dice.choice((0, 7, 65534, 3_000_000)), "gid": dice.choice((0, 8)), "mode": mode}
        match kind:
            case "d":
                entries.append(entry(name, tarfile.DIRTYPE, **owner))
                folders.append(f"{name}/")
            case "f" | "h":
                size = dice.choice((0, 1, 511, 512, 70_000, 600_000))
                content = dice.randbytes(size) if dice.random() < 0.7 else bytes(size)
                files.append(entry(name, **owner))
                entries.append((files[-1], content))
            case "s":
                entries.append(entry(name, tarfile.SYMTYPE, linkname=dice.choice(("/etc/passwd", "../..", "x" * 150))))
            case "l":
                # tarfile gives a link's mode and owner to the file; every writer has them the same.
                target = dice.choice(files)
                owner = {"uid": target.uid, "gid": target.gid, "mode": target.mode}
                entries.append(entry(name, tarfile.LNKTYPE, linkname=target.name, **owner))
            case "c":
                entries.append(entry(name, tarfile.CHRTYPE, devmajor=1, devminor=dice.choice((3, 300)), **owner))
            case "b":
                entries.append(entry(name, tarfile.BLKTYPE, devmajor=7, devminor=9, **owner))
            case _:
                entries.append(entry(name, tarfile.FIFOTYPE, **owner))
    return entries


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("seed", range(3))
def test_a_tree_is_extracted_as_tarfile_does_it(root: Path, tmp_path: Path, form: int, seed: int) -> None:
    data = tar_of(generated(seed), form=form)
    archive, oracle = tmp_path / "a.tar", tmp_path / "oracle"
    archive.write_bytes(data)
    with tarfile.open(archive) as tar:
        tar.extractall(oracle, filter="fully_trusted", numeric_owner=True)
    place(root, data)
    mine, theirs = survey(root), survey(oracle)
    assert mine.keys() == theirs.keys()
    for name, expected in theirs.items():
        # tarfile leaves a symbolic link's own time to the moment.
        at = slice(4, None) if mine[name][7] else slice(None)
        assert mine[name][at] == expected[at], name


def test_sizes_and_entries_are_counted(root: Path) -> None:
    data = tar_of([entry("d", tarfile.DIRTYPE), (entry("d/a"), b"12345"), (entry("b"), b"1")])
    assert place(root, data) == Extracted(size_bytes=6, entries=3)


def test_missing_folders_are_made(root: Path) -> None:
    place(root, tar_of([(entry("a/b/c"), b"x")]))
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o755
    assert (root / "a/b/c").read_bytes() == b"x"


def test_the_entry_of_a_folder_may_come_after_what_is_in_it(root: Path) -> None:
    place(root, tar_of([(entry("a/f"), b"x"), entry("a", tarfile.DIRTYPE, mode=0o500, uid=5, mtime=1000)]))
    status = (root / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime) == (0o500, 5, 1000)


def test_nothing_is_inherited_from_a_folder(root: Path) -> None:
    os.chmod(root, 0o2770)
    os.chown(root, 0, 50)
    place(root, tar_of([entry("d", tarfile.DIRTYPE, mode=0o2755, gid=50), (entry("d/f"), b""), (entry("g"), b"")]))
    assert ((root / "d/f").stat().st_gid, stat.S_IMODE((root / "d").stat().st_mode)) == (0, 0o2755)


def test_the_last_of_several_entries_counts(root: Path) -> None:
    place(
        root,
        tar_of(
            [
                (entry("f", mode=0o777), b"a long first version"),
                (entry("f"), b"second"),
                entry("s", tarfile.SYMTYPE, linkname="f"),
                (entry("s"), b"not a link"),
                entry("d", tarfile.DIRTYPE),
                (entry("d/x/y"), b""),
                (entry("d"), b"not a folder"),
                (entry("e"), b"not a file"),
                entry("e", tarfile.DIRTYPE, mode=0o711),
                (entry("e/g"), b""),
                entry("e", tarfile.DIRTYPE, mode=0o755),
                (entry("h"), b"h"),
                entry("h", tarfile.LNKTYPE, linkname="f"),
            ]
        ),
    )
    assert (root / "f").read_bytes() == b"second"
    assert ((root / "s").is_symlink(), (root / "s").read_bytes()) == (False, b"not a link")
    assert (root / "d").read_bytes() == b"not a folder"
    assert (root / "e/g").exists()
    assert (root / "h").stat().st_ino == (root / "f").stat().st_ino
    assert (root / "f").stat().st_mode == stat.S_IFREG | 0o644


def test_a_replaced_hard_link_leaves_the_other_name_alone(root: Path) -> None:
    place(root, tar_of([(entry("a"), b"old"), entry("b", tarfile.LNKTYPE, linkname="a"), (entry("b"), b"new")]))
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"old", b"new")


def test_a_hard_link_to_a_symbolic_link_is_one(root: Path) -> None:
    place(
        root,
        tar_of([entry("s", tarfile.SYMTYPE, linkname="/etc/passwd"), entry("h", tarfile.LNKTYPE, linkname="./s")]),
    )
    assert os.readlink(root / "h") == "/etc/passwd"


def test_attributes_are_set_and_others_left_out(root: Path) -> None:
    capability = CAPABILITY.decode("utf-8", "surrogateescape")
    place(
        root,
        tar_of(
            [
                (
                    pax(
                        "f",
                        SCHILY__xattr__user__note="hello",
                        SCHILY__xattr__security__capability=capability,
                        SCHILY__xattr__trusted__overlay__redirect="/elsewhere",
                        SCHILY__xattr__security__selinux="label",
                    ),
                    b"program",
                ),
                pax(
                    "d",
                    tarfile.DIRTYPE,
                    SCHILY__xattr__user__note="folder",
                    SCHILY__xattr__trusted__overlay__opaque="y",
                ),
            ]
        ),
    )
    assert sorted(os.listxattr(root / "f")) == ["security.capability", "user.note"]
    assert os.getxattr(root / "f", "security.capability") == CAPABILITY
    assert os.listxattr(root / "d") == ["user.note"]


def test_a_capability_outlives_the_change_of_owner(root: Path) -> None:
    capability = CAPABILITY.decode("utf-8", "surrogateescape")
    info = pax("f", SCHILY__xattr__security__capability=capability)
    info.uid, info.mode = 1000, 0o4755
    place(root, tar_of([(info, b"program")]))
    assert os.getxattr(root / "f", "security.capability") == CAPABILITY
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o4755


def test_runs_of_zeros_become_holes(root: Path) -> None:
    content = b"a" * 300_000 + bytes(8_000_000) + b"b"
    place(root, tar_of([(entry("f"), content), (entry("z"), bytes(5_000_000))]))
    assert (root / "f").read_bytes() == content
    assert (root / "z").stat().st_size == 5_000_000
    assert (root / "z").stat().st_blocks == 0
    assert (root / "f").stat().st_blocks < 4000


def test_a_sparse_file_keeps_its_holes(root: Path) -> None:
    info = pax("f", GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize=str(10 * 1024**3))
    place(root, tar_of([(info, b"1\n1048576\n4\n".ljust(512, b"\0") + b"data")]))
    status = (root / "f").stat()
    assert (status.st_size, status.st_blocks < 100) == (10 * 1024**3, True)
    with (root / "f").open("rb") as file:
        file.seek(1_048_576)
        assert file.read(5) == b"data\0"


class TestWhiteouts:
    def test_become_those_of_overlayfs(self, root: Path) -> None:
        place(root, tar_of([(entry("a/.wh.gone"), b""), (entry(".wh.top"), b""), (entry("o/.wh..wh..opq"), b"")]))
        assert is_whiteout((root / "a/gone").lstat())
        assert is_whiteout((root / "top").lstat())
        assert os.getxattr(root / "o", OPAQUE) == b"y"
        assert sorted(os.listdir(root / "a")) == ["gone"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_hide_what_is_below_and_nothing_of_their_own_layer(self, root: Path, order: int) -> None:
        entries: Entries = [
            (entry("d/.wh.file"), b""),
            (entry("d/.wh.folder"), b""),
            (entry("d/file"), b"new"),
            (entry("d/folder/inner"), b"new"),
            entry("d/folder", tarfile.DIRTYPE, mode=0o700),
        ]
        place(root, tar_of(entries[::order]))
        assert (root / "d/file").read_bytes() == b"new"
        assert (root / "d/folder/inner").read_bytes() == b"new"
        assert os.getxattr(root / "d/folder", OPAQUE) == b"y"
        assert stat.S_IMODE((root / "d/folder").stat().st_mode) == 0o700

    def test_an_opaque_folder_stays_so_when_its_entry_comes_later(self, root: Path) -> None:
        place(root, tar_of([(entry("d/.wh..wh..opq"), b""), entry("d", tarfile.DIRTYPE), (entry("d/f"), b"")]))
        assert os.getxattr(root / "d", OPAQUE) == b"y"

    def test_what_aufs_kept_for_itself_is_left_out(self, root: Path) -> None:
        place(root, tar_of([(entry(".wh..wh.plnk/1.2"), b"x"), (entry("a/.wh..wh.aufs"), b"x"), (entry("b"), b"")]))
        assert sorted(os.listdir(root)) == ["b"]

    @pytest.mark.parametrize("name", [".wh.", "a/.wh.", ".wh..", ".wh...", "a/.wh...", ".wh.d/f"])
    def test_of_nothing_are_refused(self, root: Path, name: str) -> None:
        assert "whiteout" in refusal(root, [(entry(name), b"")])


class TestHarm:
    @pytest.fixture
    def victim(self, root: Path) -> Iterator[Path]:
        path = root.parent / "victim"
        path.mkdir()
        (path / "file").write_bytes(b"untouched")
        yield path
        assert (path / "file").read_bytes() == b"untouched"
        assert sorted(os.listdir(path)) == ["file"]

    @pytest.mark.parametrize(
        "name", ["/etc/x", "//x", "../x", "a/../../x", "a/..", "..", "x/../y", "./../x", "../victim/file"]
    )
    def test_names_that_leave_the_root_are_refused(self, root: Path, victim: Path, name: str) -> None:
        assert victim
        assert "refused" in refusal(root, [(entry(name), b"evil")])

    def test_a_file_through_a_symbolic_link(self, root: Path, victim: Path) -> None:
        entries: Entries = [entry("l", tarfile.SYMTYPE, linkname=str(victim)), (entry("l/file"), b"evil")]
        assert "symbolic link" in refusal(root, entries)

    def test_a_file_through_a_relative_link_and_a_folder(self, root: Path, victim: Path) -> None:
        assert victim
        entries: Entries = [
            entry("d", tarfile.DIRTYPE),
            entry("d/l", tarfile.SYMTYPE, linkname="../../victim"),
            (entry("d/l/new/file"), b"evil"),
        ]
        assert "symbolic link" in refusal(root, entries)

    def test_a_file_over_a_symbolic_link_replaces_the_link(self, root: Path, victim: Path) -> None:
        place(root, tar_of([entry("l", tarfile.SYMTYPE, linkname=str(victim / "file")), (entry("l"), b"evil")]))
        assert not (root / "l").is_symlink()

    def test_a_folder_over_a_symbolic_link_replaces_the_link(self, root: Path, victim: Path) -> None:
        entries: Entries = [
            entry("l", tarfile.SYMTYPE, linkname=str(victim)),
            entry("l", tarfile.DIRTYPE, mode=0o777, uid=5),
            (entry("l/new"), b""),
        ]
        place(root, tar_of(entries))
        assert (root / "l/new").exists()
        assert victim.stat().st_uid == 0

    def test_a_folder_swapped_for_a_link_after_it_was_opened(self, root: Path, victim: Path) -> None:
        entries: Entries = [
            entry("d", tarfile.DIRTYPE),
            (entry("d/a"), b""),
            entry("d", tarfile.SYMTYPE, linkname=str(victim)),
            (entry("d/file"), b"evil"),
        ]
        assert "symbolic link" in refusal(root, entries)

    def test_a_whiteout_through_a_link(self, root: Path, victim: Path) -> None:
        entries: Entries = [entry("l", tarfile.SYMTYPE, linkname=str(victim)), (entry("l/.wh.file"), b"")]
        assert "symbolic link" in refusal(root, entries)

    def test_an_opaque_mark_through_a_link(self, root: Path, victim: Path) -> None:
        entries: Entries = [entry("l", tarfile.SYMTYPE, linkname=str(victim)), (entry("l/.wh..wh..opq"), b"")]
        assert "symbolic link" in refusal(root, entries)
        assert os.listxattr(victim) == []

    @pytest.mark.parametrize("target", ["/etc/shadow", "../victim/file", "l/file", "missing", "", "."])
    def test_hard_links_reach_only_the_layer(self, root: Path, victim: Path, target: str) -> None:
        entries: Entries = [
            entry("l", tarfile.SYMTYPE, linkname=str(victim)),
            entry("h", tarfile.LNKTYPE, linkname=target),
        ]
        assert refusal(root, entries)
        assert (victim / "file").stat().st_nlink == 1

    def test_a_hard_link_to_a_folder(self, root: Path) -> None:
        assert "not permitted" in refusal(
            root, [entry("d", tarfile.DIRTYPE), entry("h", tarfile.LNKTYPE, linkname="d")]
        )

    def test_a_hard_link_to_itself(self, root: Path) -> None:
        assert "itself" in refusal(root, [(entry("f"), b"x"), entry("f", tarfile.LNKTYPE, linkname="./f")])

    def test_modes_and_owners_do_not_follow_links(self, root: Path, victim: Path) -> None:
        before = (victim / "file").stat()
        link = entry("l", tarfile.SYMTYPE, mode=0o7777, linkname=str(victim / "file"), uid=5, gid=5)
        place(root, tar_of([link]))
        after = (victim / "file").stat()
        assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            *(
                (kind, name)
                for kind in (tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
                for name in (".", "./", "")
            ),
            # A file whose name ends with a slash is a folder.
            (tarfile.REGTYPE, "."),
            (tarfile.REGTYPE, ""),
        ],
    )
    def test_the_root_stays_a_folder(self, root: Path, kind: bytes, name: str) -> None:
        info = entry("placeholder", kind, linkname="/etc")
        info.name = name
        assert "root cannot be" in refusal(root, [info])

    def test_a_file_whose_name_ends_with_a_slash_is_a_folder(self, root: Path) -> None:
        place(root, tar_of([entry("./"), entry("d/", mode=0o711)]))
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o711
        assert (root / "d").is_dir()

    def test_names_with_a_nul(self, root: Path) -> None:
        assert "NUL" in refusal(root, [(pax("x", path="a\0b"), b"")])
        assert refusal(root, [pax("x", tarfile.SYMTYPE, linkpath="a\0b")])

    def test_names_too_long_or_too_deep(self, root: Path) -> None:
        assert "too long" in refusal(root, [(entry("n" * 300), b"")])
        assert "deep" in refusal(root, [(entry("d/" * 300 + "f"), b"")])

    def test_a_device_number_that_cannot_be(self, root: Path) -> None:
        assert "device" in refusal(root, [entry("d", tarfile.CHRTYPE, devmajor=0o7777777, devminor=1)])

    def test_a_file_as_a_folder(self, root: Path) -> None:
        assert "no folder" in refusal(root, [(entry("f"), b""), (entry("f/g"), b"")])

    def test_more_folders_than_allowed(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stackctl.images.tree.MAX_FOLDERS", 50)
        assert "folders" in refusal(root, [(entry(f"{n}/" * 10 + "f"), b"") for n in range(10)])

    def test_more_entries_than_allowed(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stackctl.images.tar_reader.MAX_ENTRIES", 50)
        assert "entries" in refusal(root, [(entry(f"{n}"), b"") for n in range(51)])

    def test_folders_replaced_again_and_again(self, root: Path) -> None:
        entries: Entries = []
        for _ in range(1100):
            entries += [entry("d", tarfile.DIRTYPE), (entry("d"), b"")]
        assert "replaces" in refusal(root, entries)

    def test_a_message_holds_no_control_characters(self, root: Path) -> None:
        assert "\x1b" not in refusal(root, [(entry("../\x1b[31m\n"), b"")])
