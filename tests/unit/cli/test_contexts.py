"""Contexts of builds as the command line sees them: what is left out, what is compared, what is sent."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from stackctl.cli.contexts import ContextTar, find_context, with_dockerfile
from stackctl.cli.settings import Settings
from stackctl.errors import ImageError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for path in ("Dockerfile", "a", "sub/b", "sub/c", "gone/d"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"FROM {path}", encoding="utf-8")
    (tmp_path / ".dockerignore").write_text("sub\n!sub/c\ngone\n", encoding="utf-8")
    return Settings(environment={}, cwd=str(tmp_path))


def sent(context: object) -> dict[str, tarfile.TarInfo]:
    source, data = ContextTar(context), io.BytesIO()  # type: ignore[arg-type]  # a Context, from find_context
    while piece := source.read(100):
        data.write(piece)
    data.seek(0)
    with tarfile.open(fileobj=data) as tar:
        return {member.name: member for member in tar}


def test_what_dockerignore_names_is_not_sent_but_for_its_exceptions(settings: Settings) -> None:
    context = find_context(settings, "web", {"context": settings.cwd})
    assert list(sent(context)) == [".dockerignore", "Dockerfile", "a", "sub", "sub/c"]


def test_a_file_beside_the_dockerfile_comes_before_the_common_one(settings: Settings) -> None:
    Path(settings.cwd, "Dockerfile.dockerignore").write_text("*\n!a\n", encoding="utf-8")
    assert list(sent(find_context(settings, "web", {"context": settings.cwd}))) == ["a"]


def test_owners_and_times_are_not_compared_and_content_and_modes_are(settings: Settings) -> None:
    def files() -> dict[str, str]:
        return dict(find_context(settings, "web", {"context": settings.cwd}).inputs().files)

    before = files()
    assert list(before) == [".dockerignore", "a", "sub", "sub/c"]
    os.utime(Path(settings.cwd, "a"), (1, 1))
    assert files() == before
    Path(settings.cwd, "a").chmod(0o600)
    Path(settings.cwd, "sub/c").write_text("other", encoding="utf-8")
    assert [name for name, digest in files().items() if before[name] != digest] == ["a", "sub/c"]


def test_links_within_are_sent_as_links(settings: Settings) -> None:
    Path(settings.cwd, "twin").hardlink_to(Path(settings.cwd, "a"))
    Path(settings.cwd, "link").symlink_to("/etc/passwd")
    found = sent(find_context(settings, "web", {"context": settings.cwd}))
    assert (found["twin"].islnk(), found["twin"].linkname) == (True, "a")
    assert (found["link"].issym(), found["link"].linkname) == (True, "/etc/passwd")
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}


def test_a_dockerfile_from_elsewhere_is_sent_along(settings: Settings, tmp_path: Path) -> None:
    context = find_context(settings, "web", {"context": f"{tmp_path}/sub", "dockerfile": "../Dockerfile"})
    whole, name = with_dockerfile(context)
    assert name.startswith(".dockerfile.") and name in sent(whole)
    assert context.shown == "Dockerfile"


def test_what_is_not_there_is_said(settings: Settings) -> None:
    with pytest.raises(ImageError, match="is no folder"):
        find_context(settings, "web", {"context": f"{settings.cwd}/none"})
    with pytest.raises(ImageError, match="none cannot be read"):
        find_context(settings, "web", {"context": settings.cwd, "dockerfile": "none"})
