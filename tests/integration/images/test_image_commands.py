"""`stackctl image` on a real engine."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.images import (
    Image,
    busybox_image,
    busybox_root_tar,
    docker_save_archive,
    entry,
    files_tar,
    oci_archive,
    oci_index_archive,
    old_docker_save_archive,
    tar_of,
)
from tests.support.zstd import zstd


def run_in(engine: Engine, folder: Path, image: str, *command: str) -> str:
    """Return what a command prints in a container of the image."""
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(
        f"name: {folder.name}\nservices:\n  it:\n    image: {image}\n    network_mode: none\n", encoding="utf-8"
    )
    return engine.run("run", "--rm", "-T", "it", *command, cwd=folder).out


@pytest.mark.parametrize("write", [docker_save_archive, old_docker_save_archive, oci_archive])
def test_load_says_what_came_and_a_container_runs_from_it(shared_engine: Engine, tmp_path: Path, write: object) -> None:
    assert callable(write)
    name = f"{write.__name__}:1"
    archive = write(tmp_path / "a.tar", busybox_image(name, files={"made-by": name.encode()}))

    loaded = shared_engine.run("image", "load", "-i", str(archive))

    assert loaded.out == f"Loaded image: {name}\n"
    assert run_in(shared_engine, tmp_path / "load", name, "cat", "/made-by") == name
    assert shared_engine.run("image", "rm", name).out.startswith(f"Untagged: {name}\nDeleted: sha256:")


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_load_reads_standard_input_compressed_or_not(shared_engine: Engine, tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    image = busybox_image("piped:1", files={"piped": b""})
    foreign = Image(image.layers, image.names, image.config, architecture="s390x")
    archive = oci_index_archive(tmp_path / "a.tar", "piped:1", foreign, image)
    shared_engine.run("image", "load", stdin=compress(archive.read_bytes()))
    (shown,) = shared_engine.run("image", "inspect", "piped:1").json()
    assert (shown["Architecture"], shown["RepoTags"], shown["Config"]["Cmd"]) == ("amd64", ["piped:1"], ["sh"])


def test_import_makes_an_image_that_runs_its_command(shared_engine: Engine, tmp_path: Path) -> None:
    tar = busybox_root_tar(tmp_path / "root.tar", {"hello": b"from the tar\n"})
    changes = ["-c", 'CMD ["cat", "/hello"]', "-c", "ENV PATH=/bin", "-c", "LABEL a=b"]
    image_id = shared_engine.run("image", "import", *changes, str(tar), "rooted:2").out.strip()
    assert image_id.startswith("sha256:")
    (shown,) = shared_engine.run("image", "inspect", image_id[7:19]).json()
    assert (shown["Id"], shown["RepoTags"], shown["Config"]["Labels"]) == (image_id, ["rooted:2"], {"a": "b"})
    assert run_in(shared_engine, tmp_path / "import", "rooted:2") == "from the tar\n"


def test_a_container_sees_its_layers_as_one(shared_engine: Engine, tmp_path: Path) -> None:
    below = files_tar({"d/kept": b"below", "d/gone": b"x", "o/old": b"x", "r/old": b"x", "changed": b"below"})
    above = tar_of(
        [
            (entry("d/.wh.gone"), b""),
            (entry("o/.wh..wh..opq"), b""),
            (entry("o/new"), b""),
            (entry(".wh.r"), b""),
            (entry("r/new"), b""),
            (entry("changed", mode=0o4755, uid=33), b"above"),
        ]
    )
    base = busybox_image()
    image = Image((*base.layers, below, above), ("layered:1",), base.config)
    shared_engine.run("image", "load", "-i", str(docker_save_archive(tmp_path / "a.tar", image)))
    script = "ls d o r; cat d/kept changed; stat -c %a:%u changed"
    out = run_in(shared_engine, tmp_path / "layered", "layered:1", "sh", "-c", f"cd /; {script}")
    assert out.split() == ["d:", "kept", "o:", "new", "r:", "new", "belowabove4755:33"]


def test_ls_shows_names_ids_and_sizes(shared_engine: Engine) -> None:
    rows = [line.split() for line in shared_engine.run("image", "ls").out.splitlines()]
    assert rows[0] == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert ["busybox", "latest", busybox_image().id[7:19]] in [row[:3] for row in rows]
    assert rows[-1][:2] == ["host", "latest"]
    assert busybox_image().id in shared_engine.run("image", "ls", "-q", "--no-trunc").out.splitlines()
    assert {"busybox:latest", "host:latest"} <= {
        name for row in shared_engine.run("image", "ls", "--format", "json").rows() for name in row["RepoTags"]
    }


def test_what_is_wrong_is_said_in_one_line(shared_engine: Engine, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(docker_save_archive(tmp_path / "a.tar", busybox_image("cut:1")).read_bytes()[:100_000])
    for arguments, words in (
        (("load", "-i", str(tmp_path / "nosuch")), "there is no such file"),
        (("load", "-i", str(cut)), "is cut short"),
        (("inspect", "nosuch:1"), "No such image: nosuch:1"),
        (("rm", "nosuch"), "No such image: nosuch:latest"),
        (("rm", "host"), "built in"),
        (("import", str(cut), "UPPER"), "invalid image name"),
    ):
        result = shared_engine.run("image", *arguments, status=1)
        assert words in result.err, str(result)
        assert "Traceback" not in result.err
    assert "cut:1" not in shared_engine.run("image", "ls").out


def test_an_image_that_a_container_runs_from_stays(shared_engine: Engine, tmp_path: Path) -> None:
    image = busybox_image("used:1", files={"which": b"used"})
    shared_engine.run("image", "load", "-i", str(docker_save_archive(tmp_path / "a.tar", image)))
    (tmp_path / "compose.yaml").write_text(
        "name: user\nservices:\n  it: {image: 'used:1', command: sleep 1000, network_mode: none, init: true}\n",
        encoding="utf-8",
    )
    shared_engine.run("up", "-d", cwd=tmp_path)
    try:
        assert "user-it-1" in shared_engine.run("ps", cwd=tmp_path).out
        assert "is using its referenced image" in shared_engine.run("image", "rm", "used:1", status=1).err
        assert "cannot be forced" in shared_engine.run("image", "rm", "-f", image.id[7:], status=1).err
        shared_engine.run("stop", "-t", "0", cwd=tmp_path)
        assert shared_engine.run("image", "rm", "-f", "used:1").out == "Untagged: used:1\n"
        shared_engine.run("start", cwd=tmp_path)
        assert shared_engine.run("exec", "-T", "it", "cat", "/which", cwd=tmp_path).out == "used"
    finally:
        shared_engine.run("down", "-t", "0", cwd=tmp_path)
    assert f"Deleted: {image.id}" in shared_engine.run("image", "rm", image.id[7:]).out
