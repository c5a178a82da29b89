"""What the image `host` shows of hosts of different kinds, and where it finds their Python."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stackctl.images.disk import StoreFiles
from stackctl.images.host import host_image, host_layout, host_root


def make(top: Path, *folders: str, links: dict[str, str] | None = None) -> Path:
    for folder in ("usr/bin", "etc", *folders):
        (top / folder).mkdir(parents=True, exist_ok=True)
    for name, target in (links or {}).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).symlink_to(target)
    return top


def targets(top: Path, base_prefix: str) -> list[str]:
    return [bind.target for bind in host_layout(top=str(top), base_prefix=base_prefix).binds]


def test_a_merged_usr_is_one_bind_and_links(tmp_path: Path) -> None:
    top = make(tmp_path, links={"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"})
    layout = host_layout(top=str(top), base_prefix="/usr")
    assert [bind.target for bind in layout.binds] == ["/usr"]
    assert layout.links == (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"))
    assert layout.python_bin == ""


def test_an_unmerged_one_is_bound_part_by_part(tmp_path: Path) -> None:
    assert targets(make(tmp_path, "bin", "sbin", "lib"), "/usr") == ["/usr", "/bin", "/sbin", "/lib"]


def test_nix_and_guix_stores_are_seen(tmp_path: Path) -> None:
    assert targets(make(tmp_path, "nix/store", "gnu/store"), "/usr") == ["/usr", "/nix/store", "/gnu/store"]


@pytest.mark.parametrize(
    "prefix",
    ["root/.pyenv/versions/3.12.1", "home/me/.local/share/uv/python/cpython-3.13.0-linux-x86_64-gnu", "opt/py"],
)
def test_a_python_outside_usr_is_bound_alone_and_first_in_the_path(tmp_path: Path, prefix: str) -> None:
    python = tmp_path / "host" / prefix
    (python / "bin").mkdir(parents=True)
    layout = host_layout(top=str(make(tmp_path / "host")), base_prefix=str(python))
    assert [bind.target for bind in layout.binds] == ["/usr", str(python)]
    assert layout.python_bin == f"{python}/bin"
    config = json.loads(host_image(layout, top=str(tmp_path / "host")).document)["config"]
    assert config["Env"][0].startswith(f"PATH={python}/bin:/usr/local/sbin")


def test_a_python_behind_a_link_is_seen_under_both_names(tmp_path: Path) -> None:
    # uv installs cpython-3.13 as a link to cpython-3.13.0.
    real = tmp_path / "uv/cpython-3.13.0"
    (real / "bin").mkdir(parents=True)
    link = tmp_path / "uv/cpython-3.13"
    link.symlink_to(real.name)
    assert targets(make(tmp_path / "host"), str(link)) == ["/usr", str(real), str(link)]


def test_a_cellar_is_bound_with_the_libraries_beside_it(tmp_path: Path) -> None:
    brew = tmp_path / "linuxbrew"
    python = brew / "Cellar/python@3.12/3.12.1"
    python.mkdir(parents=True)
    assert targets(make(tmp_path / "host"), str(python)) == ["/usr", str(brew)]


def test_the_way_to_a_python_in_root_s_home_is_open_to_all_and_shows_nothing(tmp_path: Path) -> None:
    top = make(tmp_path / "host", "root/.ssh")
    python = top / "root/.pyenv/versions/3.12.1"
    python.mkdir(parents=True)
    files = StoreFiles(str(tmp_path / "images"))
    files.make()
    root = host_root(files, host_layout(top=str(top), base_prefix=str(python)), top=str(top))
    at = Path(root.skeleton)
    for part, after in zip(python.parts[1:], [*python.parts[2:], None], strict=True):
        at /= part
        assert at.stat().st_mode & 0o001, at
        assert os.listdir(at) == ([after] if after else [])


class TestSkeleton:
    @pytest.fixture
    def top(self, tmp_path: Path) -> Path:
        top = make(tmp_path / "host", "etc/ssl/certs", "etc/ssl/private", "etc/alternatives", "root/.ssh", "home/me")
        for name, mode in (
            ("etc/shadow", 0o640),
            ("etc/passwd", 0o644),
            ("etc/ssl/private/key", 0o600),
            ("etc/ssl/certs/ca.pem", 0o644),
            ("etc/ssl/certs/closed.pem", 0o600),
            ("etc/services", 0o644),
            ("etc/os-release", 0o644),
            ("root/.ssh/id", 0o600),
            ("home/me/notes", 0o644),
        ):
            (top / name).write_text(f"host's {name}", encoding="utf-8")
            (top / name).chmod(mode)
        return top

    def skeleton(self, tmp_path: Path, top: Path) -> Path:
        files = StoreFiles(str(tmp_path / "images"))
        files.make()
        return Path(host_root(files, host_layout(top=str(top), base_prefix="/usr"), top=str(top)).skeleton)

    def test_holds_only_what_everybody_may_read(self, tmp_path: Path, top: Path) -> None:
        at = self.skeleton(tmp_path, top)
        found = {str(path.relative_to(at)) for path in at.rglob("*") if path.is_file() and not path.is_symlink()}
        copied = {path for path in found if (at / path).read_text(encoding="utf-8").startswith("host's")}
        assert copied == {"etc/ssl/certs/ca.pem", "etc/services", "etc/os-release"}
        assert os.listdir(at / "root") == os.listdir(at / "home") == []

    def test_is_made_once_and_again_when_the_host_has_changed(self, tmp_path: Path, top: Path) -> None:
        first = self.skeleton(tmp_path, top)
        assert self.skeleton(tmp_path, top) == first
        (top / "etc/services").write_text("host's new services", encoding="utf-8")
        second = self.skeleton(tmp_path, top)
        assert second != first
        assert first.is_dir()
        assert (second / "etc/services").read_text(encoding="utf-8") == "host's new services"


def test_the_id_changes_with_the_host_and_only_then(tmp_path: Path) -> None:
    top = make(tmp_path)
    layout = host_layout(top=str(top), base_prefix="/usr")
    first = host_image(layout, top=str(top)).id
    assert host_image(layout, top=str(top)).id == first
    os.utime(top / "usr", ns=(1, 1))
    assert host_image(layout, top=str(top)).id != first
