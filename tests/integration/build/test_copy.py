"""COPY and ADD: what gets where, as whom, and that nothing is reached outside."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from stackctl.errors import ImageError
from tests.support.builds import Builds


def copied(builds: Builds, *lines: str) -> list[str]:
    """Return what COPYs into an empty image make: paths, folders with a / at their end."""
    image = builds.build("FROM scratch\n" + "".join(f"{line}\n" for line in lines))
    return [path + "/" * found.is_folder for path, found in image.view.walk("")]


@pytest.fixture
def tree(builds: Builds) -> Builds:
    builds.write("a.txt", "a", 0o640)
    builds.write("b.txt", "b")
    builds.write("d/one", "1")
    builds.write("d/sub/two", "2", 0o755)
    return builds


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a.txt /", ["a.txt"]),
        ("COPY a.txt /x", ["x"]),
        ("COPY a.txt /x/", ["x/", "x/a.txt"]),
        ("COPY a.txt b.txt /x/", ["x/", "x/a.txt", "x/b.txt"]),
        ("COPY *.txt /x/", ["x/", "x/a.txt", "x/b.txt"]),
        ("COPY d /x", ["x/", "x/one", "x/sub/", "x/sub/two"]),
        ("COPY d/s* /x/", ["x/", "x/two"]),
        ("COPY ../../a.txt /x", ["x"]),
        ("COPY none* b.txt /x/", ["x/", "x/b.txt"]),
        ("COPY --exclude=sub d /x", ["x/", "x/one"]),
        ("COPY --exclude=d/sub d /x", ["x/", "x/one", "x/sub/", "x/sub/two"]),
        ("COPY --exclude=b* *.txt /x/", ["x/", "x/a.txt"]),
        ('COPY ["a.txt", "/with blank/"]', ["with blank/", "with blank/a.txt"]),
        ("COPY <<EOF <<OTHER /x/\ntext\nEOF\nmore\nOTHER", ["x/", "x/EOF", "x/OTHER"]),
    ],
)
def test_sources_go_where_docker_puts_them(tree: Builds, line: str, expected: list[str]) -> None:
    assert copied(tree, line) == expected


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("COPY gone /x",), "copy-source-missing"),
        (("COPY a.txt b.txt /x",), "copy-destination"),
        (("COPY a.txt /x", "COPY d /x"), "copy-destination"),
        (("COPY d /x", "COPY d/sub/two /x/sub"), ""),
        (("COPY --chown=somebody a.txt /x",), "build-user-unknown"),
        (("ARG MODE=9", "COPY --chmod=$MODE a.txt /x"), "copy-chmod"),
        (("ADD https://example.com/x /x",), "build-unsupported"),
    ],
)
def test_what_cannot_be_copied_is_refused_at_its_line(tree: Builds, lines: tuple[str, ...], code: str) -> None:
    if not code:
        assert "x/sub/two" in copied(tree, *lines)
        return
    with pytest.raises(ImageError) as caught:
        copied(tree, *lines)
    assert (caught.value.code, caught.value.diagnostics[0].sources[0].line) == (code, len(lines) + 1)


def test_owner_and_mode_are_as_asked_for_and_else_roots(tree: Builds) -> None:
    os.chown(tree.context / "a.txt", 1234, 1234)
    image = tree.build(
        """FROM busybox
RUN echo 'joe:x:1001:50::/home/joe:/bin/sh' >>/etc/passwd; echo 'team:x:77:' >>/etc/group
COPY a.txt /plain
COPY --chown=joe a.txt /name
COPY --chown=1001 a.txt /number
COPY --chown=joe:team --chmod=4711 a.txt /both
COPY --chmod=u=rwX,go=rX d /d
USER joe
WORKDIR /home/joe/deep
"""
    )
    assert image.facts("plain") == ("640", 0, 0)
    assert image.facts("name") == ("640", 1001, 50)
    assert image.facts("number") == ("640", 1001, 1001)
    assert image.facts("both") == ("4711", 1001, 77)
    assert image.facts("d/sub") == ("755", 0, 0)
    assert image.facts("d/one") == ("644", 0, 0)
    assert image.facts("home/joe/deep") == ("755", 1001, 50)


def test_links_are_kept_in_folders_and_followed_where_named(builds: Builds) -> None:
    builds.write("real", "content")
    (builds.context / "link").symlink_to("real")
    builds.write("d/file")
    (builds.context / "d/abs").symlink_to("/etc/passwd")
    (builds.context / "d/twin").hardlink_to(builds.context / "d/file")
    image = builds.build("FROM scratch\nCOPY link /named\nCOPY d /d")
    assert image.text("named") == "content"
    absolute, file, twin = (image.view.find(f"d/{name}") for name in ("abs", "file", "twin"))
    assert absolute is not None and os.readlink(absolute.where) == "/etc/passwd"
    assert file is not None and twin is not None and file.status.st_ino == twin.status.st_ino


def test_no_link_leads_out_of_the_context_or_the_image(builds: Builds, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret", encoding="utf-8")
    builds.write("a", "a")
    (builds.context / "up").symlink_to("../outside")
    (builds.context / "abs").symlink_to(str(outside))
    for line in ("COPY up/secret /x", "COPY abs/secret /x", "COPY up /x", f"COPY {outside}/secret /x"):
        with pytest.raises(ImageError, match="not found"):
            builds.build(f"FROM scratch\n{line}")
    image = builds.build(
        f"FROM busybox\nRUN ln -s {outside} /link && ln -s ../../../..{outside} /up\nCOPY a /link/\nCOPY a /up/b"
    )
    assert sorted(os.listdir(outside)) == ["secret"]
    assert image.text(f"{outside}/a") == image.text(f"{outside}/b") == "a"


def test_a_copy_through_a_link_in_the_image_lands_behind_it(tree: Builds) -> None:
    image = tree.build(
        "RUN mkdir /real && ln -s /real /link && ln -s real/x /file\nCOPY d /link\nCOPY a.txt /file",
    )
    assert image.text("real/one") == "1"
    assert image.text("real/x") == "a"
    with pytest.raises(ImageError, match="non-directory"):
        tree.build("RUN mkdir /x && ln -s /tmp /x/sub\nCOPY d /x")


def test_from_another_stage_owners_and_attributes_come_along(builds: Builds) -> None:
    image = builds.build(
        """FROM busybox AS made
RUN mkdir -p /out/in && echo x >/out/in/file && chown -R 12:34 /out && chmod 2755 /out/in && mknod /out/pipe p
FROM scratch
COPY --from=made /out /out
COPY --from=busybox /etc/passwd /etc/
"""
    )
    assert image.facts("out/in") == ("2755", 12, 34)
    assert image.facts("out/in/file") == ("644", 12, 34)
    assert image.facts("out/pipe")[1:] == (0, 0)  # made after the chown
    assert image.text("etc/passwd").startswith("root:")


def test_archives_are_unpacked_by_add_and_copied_by_copy(builds: Builds) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("inner/.wh.name")
        info.size, info.uid = 2, 7
        tar.addfile(info, io.BytesIO(b"in"))
    (builds.context / "any-name").write_bytes(buffer.getvalue())
    builds.write("plain.tar", "no archive at all")
    image = builds.build("FROM scratch\nADD any-name plain.tar /x/\nADD any-name /y\nCOPY any-name /z")
    names = [path for path, found in image.view.walk("") if not found.is_folder]
    assert names == ["x/inner/.wh.name", "x/plain.tar", "y/inner/.wh.name", "z"]
    assert image.facts("x/inner/.wh.name") == ("644", 7, 0)


def test_copying_into_a_folder_leaves_it_as_it_is_and_a_new_one_has_its_sources_time_alone(builds: Builds) -> None:
    builds.write("d/x")
    (builds.context / "d").chmod(0o700)
    os.utime(builds.context / "d", (1_000_000, 1_000_000))
    image = builds.build("RUN mkdir -m 755 /there\nCOPY d /there\nCOPY d /new")
    assert image.facts("there")[0] == "755"
    assert image.facts("new")[0] == "755"
    new = image.view.find("new")
    assert new is not None and new.status.st_mtime == 1_000_000
