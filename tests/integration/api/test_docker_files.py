"""`docker cp`, `diff` and `stats`, on containers that run and on others."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_cli import Docker


@pytest.fixture(scope="module", autouse=True)
def _made_once(docker: Docker) -> None:
    """What an engine makes with its first container on the default network."""
    docker.run("run", "--rm", "busybox", "true")


@pytest.fixture(params=["running", "stopped"])
def box(docker: Docker, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container with a volume at /data, that runs or never did."""
    docker.run("create", "--name", "box", "-v", "/data", "busybox", "sleep", "300")
    if request.param == "running":
        docker.run("start", "box")
    try:
        yield "box"
    finally:
        docker.run("rm", "-f", "-v", "box")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files, links and modes worth keeping."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a\n", encoding="ascii")
    (folder / "sub/tool").write_bytes(os.urandom(300_000))
    (folder / "sub/tool").chmod(0o4750)
    (folder / "link").symlink_to("sub/tool")
    os.link(folder / "a", folder / "again")
    os.chown(folder / "a", 1234, 5678, follow_symlinks=False)
    return folder


def _seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found


def test_a_tree_comes_back_as_it_went_in(docker: Docker, box: str, tree: Path, tmp_path: Path) -> None:
    for target in ("/tmp-copy", "/data/copy"):
        docker.run("cp", "-a", str(tree), f"{box}:{target}")
        back = tmp_path / f"back{target.replace('/', '-')}"
        docker.run("cp", "-a", f"{box}:{target}", str(back))

        assert _seen(back) == _seen(tree)

    docker.run("start", box)
    owners = docker.run("exec", box, "stat", "-c", "%u:%g", "/data/copy/sub", "/data/copy/a").out.split()
    assert owners == ["0:0", "1234:5678"]


def test_copies_to_and_from_standard_streams(docker: Docker, box: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("typed")
        member.size, member.uid = 5, 77
        tar.addfile(member, io.BytesIO(b"typed"))

    docker.run("cp", "-", f"{box}:/data", stdin=packed.getvalue())

    docker.run("start", box)
    assert docker.run("exec", box, "sh", "-c", "cat /data/typed; stat -c ' %u' /data/typed").out == "typed 77\n"
    assert "passwd" in docker.run("cp", f"{box}:/etc/.", "-").out


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("box:/nope", "-", "/nope"),  # in words of its own, the older client
        ("-", "box:/nope", "must be a directory"),
        ("-", "box:/etc/passwd", "must be a directory"),
    ],
)
def test_what_is_not_there_is_said(docker: Docker, box: str, source: str, target: str, said: str) -> None:
    del box
    assert said in docker.run("cp", source, target, status=1).err


def test_nothing_is_read_or_written_outside_of_the_container(docker: Docker, box: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the host", encoding="ascii")
    docker.run("start", box)
    docker.run("exec", box, "ln", "-s", str(outside), "/data/out")
    docker.run("exec", box, "ln", "-s", f"../../../../../..{outside}/secret", "/data/up")
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("out/../../planted"))

    assert docker.run("cp", f"{box}:/data/out/secret", "-", status=1).out == ""
    assert docker.run("cp", "-L", f"{box}:/data/up", "-", status=1).out == ""
    assert "outside" in docker.run("cp", "-", f"{box}:/data", stdin=evil.getvalue(), status=1).err
    docker.run("cp", str(outside / "secret"), f"{box}:/data/out/planted", status=1)
    assert sorted(os.listdir(outside)) == ["secret"]


def test_what_was_changed_in_the_image_is_listed(docker: Docker, box: str) -> None:
    docker.run("start", box)
    docker.run(
        "exec", box, "sh", "-c", "echo x > /etc/passwd; mkdir /new; touch /new/file; rm /etc/group; touch /data/no"
    )

    assert docker.run("diff", box).out.split("\n") == [
        "A /data",
        "C /etc",
        "D /etc/group",
        "C /etc/passwd",
        "A /new",
        "A /new/file",
        "",
    ]


def test_a_read_only_root_stays_as_it_is_but_for_volumes(docker: Docker, tree: Path) -> None:
    docker.run("create", "--name", "sealed", "--read-only", "-v", "/data", "busybox", "true")
    try:
        assert "read-only" in docker.run("cp", str(tree / "a"), "sealed:/a", status=1).err
        docker.run("cp", str(tree / "a"), "sealed:/data/a")
    finally:
        docker.run("rm", "-v", "sealed")


def test_use_of_the_machine_is_told(docker: Docker) -> None:
    docker.run("run", "-d", "--name", "busy", "--memory", "64m", "busybox", "sh", "-c", "while :; do :; done")
    try:
        shown = json.loads(docker.run("stats", "--no-stream", "--format", "{{json .}}", "busy").out)
    finally:
        docker.run("rm", "-f", "busy")

    assert float(shown["CPUPerc"].rstrip("%")) > 0
    assert shown["MemUsage"].endswith(" / 64MiB")
    assert shown["PIDs"] == "1"


def test_a_container_becomes_an_image(docker: Docker) -> None:
    docker.run("run", "-d", "--name", "made", "-e", "KEPT=yes", "busybox", "sleep", "300")
    try:
        script = "rm /bin/vi; mkdir /srv; echo text >/srv/file; ln -s file /srv/link; chown -R 12:34 /srv"
        docker.run("exec", "made", "sh", "-c", f"{script}; echo x >/dev/shm/x")
        said = ("-m", "what was done", "-a", "someone", "-c", 'CMD ["cat", "/srv/link"]', "-c", "LABEL a=b")
        image = docker.run("commit", *said, "made", "mine:1").out.strip()

        assert docker.run("ps", "--filter", "name=made", "--format", "{{.State}}").out.strip() == "running"
        assert docker.run("run", "--rm", "mine:1").out == "text\n"
        shown = "stat -c %u:%g /srv/file; ls /bin/vi /dev/shm/x; echo $KEPT"
        seen = docker.run("run", "--rm", "mine:1", "sh", "-c", shown)
        assert seen.out == "12:34\nyes\n"
        assert seen.err.count("No such file or directory") == 2
        told = json.loads(docker.run("image", "inspect", image).out)[0]
        assert (told["Comment"], told["Author"], told["Config"]["Labels"]) == ("what was done", "someone", {"a": "b"})
        assert docker.run("history", "--format", "{{.CreatedBy}} {{.Comment}}", "mine:1").out.startswith(
            "sleep 300 what"
        )
        assert docker.run("diff", docker.run("create", "--name", "second", "mine:1").out.strip()).out == ""
        assert "No such container" in docker.run("commit", "absent", "x", status=1).err
        assert "RUN" in docker.run("commit", "-c", "RUN true", "made", status=1).err
        layer = json.loads(docker.run("image", "inspect", "-f", "{{json .RootFS.Layers}}", "mine:1").out)
        assert len(layer) == 2
    finally:
        docker.run("rm", "-f", "made", "second")
        docker.run("rmi", "-f", "mine:1")


def test_what_the_engine_made_for_its_mounts_is_no_part_of_an_image(docker: Docker, tmp_path: Path) -> None:
    docker.run("run", "--name", "bare", "busybox", "touch", "/etc/own", "/one")
    docker.run("commit", "bare", "bare:1")
    try:
        docker.run("save", "-o", str(tmp_path / "bare.tar"), "bare:1")
        with tarfile.open(tmp_path / "bare.tar") as archive:
            manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
            layer = archive.extractfile(manifest[0]["Layers"][-1])
            with tarfile.open(fileobj=layer) as tar:
                assert tar.getnames() == ["etc", "etc/own", "one"]
    finally:
        docker.run("rm", "bare")
        docker.run("rmi", "bare:1")
