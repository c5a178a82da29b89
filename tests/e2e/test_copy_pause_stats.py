"""`cp`, `pause`, `unpause` and `stats`, with the flags, words and exit codes of Compose."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.stack import BUSYBOX, FOREVER, Stack, stack_in

# What is shared lives from test to test.
pytestmark = pytest.mark.changes_shared_engine


@pytest.fixture(scope="module")
def pair(resident: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two replicas of ``web``, and ``ended``."""
    with stack_in(resident, tmp_path_factory.mktemp("pair"), "pair") as stack:
        web = {**FOREVER, "deploy": {"replicas": 2}, "volumes": ["/data"]}
        stack.write({"web": web, "ended": {**BUSYBOX, "command": "true"}})
        stack.run("up", "-d")
        stack.run("wait", "ended")
        yield stack


def _tree(folder: Path) -> Path:
    top = folder / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub/tool").write_bytes(os.urandom(200_000))
    (top / "sub/tool").chmod(0o755)
    (top / "link").symlink_to("sub/tool")
    return top


def _seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("target", ["/tmp-new", "/data"])
def test_a_folder_goes_in_and_comes_out_the_same(pair: Stack, tmp_path: Path, target: str) -> None:
    top = _tree(tmp_path)

    told = pair.run("cp", "--index", "2", str(top), f"web:{target}").err

    inside = target if target == "/tmp-new" else f"{target}/top"
    assert told == f" pair-web-2 Copied {top} to pair-web-2:{target}\n"
    pair.run("cp", "--index", "2", f"web:{inside}", str(tmp_path / "back"))
    assert _seen(tmp_path / "back") == _seen(top)


def test_a_file_goes_to_every_replica_and_into_one_that_has_ended(pair: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text", encoding="ascii")

    pair.run("cp", str(tmp_path / "file"), "web:/tmp-file")
    pair.run("cp", str(tmp_path / "file"), "ended:/etc/")

    for number in ("1", "2"):
        assert pair.run("exec", "-T", "--index", number, "web", "cat", "/tmp-file").out == "text"
    assert "etc/file" in _names(pair.run("cp", "ended:/etc", "-").out)


def _names(packed: str) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed.encode()), mode="r|") as tar:
        return tar.getnames()


def test_a_stream_is_unpacked_where_it_is_told(pair: Stack) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("typed")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"typed"))

    pair.run("cp", "-", "web:/data", stdin=packed.getvalue())

    assert pair.run("exec", "-T", "web", "cat", "/data/typed").out == "typed"


def test_a_container_writes_nothing_beside_the_target(pair: Stack, tmp_path: Path) -> None:
    """A link among the members would lead those after it out of the folder."""
    (tmp_path / "outside").mkdir()
    script = f"mkdir /evil; ln -s {tmp_path}/outside /evil/a; ln -s /etc/passwd /evil/b"
    pair.run("exec", "-T", "web", "sh", "-c", script)

    pair.run("cp", "web:/evil", str(tmp_path / "copy"))

    assert os.readlink(tmp_path / "copy/b") == "/etc/passwd"
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("web:/nope", "x", "Could not find the file /nope"),
        ("nope", "web:/x", "no such file or folder: nope"),
        ("a", "b", "one side is SERVICE:PATH"),
        ("nobody:/x", ".", "no such service: nobody"),
        ("web:/etc", "compose.yaml", "cannot copy a folder over the file"),
        (".", "web:/etc/passwd", "cannot copy a folder over the file"),
        ("-", "web:/etc/passwd", "must be a directory"),
    ],
)
def test_what_cannot_be_copied_says_why(pair: Stack, source: str, target: str, said: str) -> None:
    assert said in pair.run("cp", source, target, status=1).err


def test_paused_services_stand_still_until_they_are_let_go_on(pair: Stack) -> None:
    told = pair.run("pause", "web").err
    assert told == " Container pair-web-1 Paused\n Container pair-web-2 Paused\n"
    assert pair.states()["pair-web-1"] == "paused"
    assert "already paused" in pair.run("pause", "web", status=1).err
    assert pair.run("plan", "web").out.strip()

    pair.run("unpause", "web")

    assert pair.states()["pair-web-1"] == "running"
    assert "not paused" in pair.run("unpause", "web", status=1).err
    assert "no such service" in pair.run("pause", "nobody", status=1).err


def test_stats_show_a_line_for_each_running_container(pair: Stack) -> None:
    head, *rows = pair.run("stats", "--no-stream").out.splitlines()
    everything = pair.run("stats", "--no-stream", "--all", "--format", "json").rows()

    assert head.split("  ")[0] == "CONTAINER ID"
    assert [row.split()[1] for row in rows] == ["pair-web-1", "pair-web-2"]
    assert all(row.split()[-1] == "1" for row in rows)
    assert [row["Name"] for row in everything] == ["pair-ended-1", "pair-web-1", "pair-web-2"]
    assert everything[0]["MemUsage"] == "0B / 0B"
    assert everything[1]["CPUPerc"].endswith("%")


def test_stats_at_a_terminal_go_on_until_ctrl_c(pair: Stack) -> None:
    with pair.terminal("stats", "web") as terminal:
        terminal.read_until("pair-web-2")
        terminal.read_until("CONTAINER ID")
        terminal.type("\x03")
        assert terminal.wait() == 130


def test_a_replica_becomes_an_archive_and_an_image(pair: Stack, tmp_path: Path) -> None:
    pair.run("exec", "--index", "2", "web", "sh", "-c", "echo two >/which; echo volume >/data/x")

    pair.run("export", "--index", "2", "-o", str(tmp_path / "root.tar"), "web")
    image = pair.run("commit", "--index", "2", "-c", "ENV A=1", "web", "pair-made").out.strip()

    with tarfile.open(tmp_path / "root.tar") as tar:
        which = tar.extractfile("which")
        assert which is not None and which.read() == b"two\n"
        assert "data/x" not in tar.getnames()
    assert image.startswith("sha256:")
    assert "no such service: wep" in pair.run("export", "wep", status=1).err
    shown = pair.run("run", "--rm", "--no-deps", "web", "cat", "/which", status=1)
    assert "/which" in shown.err
    pair.run("image", "rm", "pair-made")
