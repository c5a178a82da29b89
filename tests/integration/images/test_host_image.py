"""The built-in image `host`: this machine's programs, and nothing else of it."""

from __future__ import annotations

import os
import platform
import ssl
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine

FOLDERS = {"dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var"}
PROGRAMS = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"}
# What may be read by everybody, and programs need.
ETC = {
    "alternatives", "ca-certificates", "crypto-policies", "group", "host.conf", "hostname", "hosts", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "mtab", "nsswitch.conf", "os-release", "passwd", "pki",
    "profile", "protocols", "resolv.conf", "rpc", "services", "shells", "ssl", "timezone",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack with one running container of the image, and nothing of its own in it."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "compose.yaml").write_text(
        "name: hosted\nservices:\n  it: {image: host, command: sleep 1000, network_mode: none, init: true}\n",
        encoding="utf-8",
    )
    shared_engine.run("up", "-d", cwd=folder)
    yield folder
    shared_engine.run("down", "-t", "0", cwd=folder)


def sh(engine: Engine, project: Path, script: str) -> str:
    return engine.run("exec", "-T", "it", "sh", "-c", script, cwd=project).out


def test_the_root_holds_what_it_must_and_no_more(shared_engine: Engine, project: Path) -> None:
    top = set(sh(shared_engine, project, "ls -A /").split())
    assert top >= FOLDERS
    # A Python that is elsewhere than below /usr is seen where it is, and is all that is seen there.
    assert top - FOLDERS - PROGRAMS <= {".dockerenv", Path(os.path.realpath(sys.base_prefix)).parts[1]}
    assert set(sh(shared_engine, project, "ls -A /etc").split()) <= ETC


def test_nothing_of_the_host_s_own_is_seen(shared_engine: Engine, project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    hidden = [
        str(secret),
        str(shared_engine.root),
        str(project),
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/ssh",
        "/etc/sudoers",
    ]
    script = "; ".join(f"test ! -e {path} || echo {path}" for path in hidden)
    assert sh(shared_engine, project, script) == ""
    assert (
        sh(shared_engine, project, "ls -A /home /tmp /mnt /srv /opt /var/log /var/lib /var/tmp | grep -v :").split()
        == []
    )
    users = {line.split(":")[0] for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines()}
    inside = {line.split(":")[0] for line in sh(shared_engine, project, "cat /etc/passwd").splitlines()}
    assert inside == {"root", "daemon", "bin", "sys", "mail", "www-data", "nobody"}
    assert users >= {"root"}


def test_no_folder_on_the_way_to_python_shows_what_else_is_in_it(shared_engine: Engine, project: Path) -> None:
    prefix = os.path.realpath(sys.base_prefix)
    if prefix == "/usr":
        assert sh(shared_engine, project, "ls -A /root") == ""
        return
    parent = Path(prefix).parent
    while parent != Path("/"):
        seen = sh(shared_engine, project, f"ls -A {parent}").split()
        assert parent == Path("/usr") or "/usr" in map(str, parent.parents) or len(seen) == 1, (parent, seen)
        parent = parent.parent


def test_programs_cannot_be_changed_and_the_rest_can(shared_engine: Engine, project: Path) -> None:
    assert "Read-only" in sh(shared_engine, project, "touch /usr/x /usr/bin/sh 2>&1 || true")
    sh(
        shared_engine,
        project,
        "for d in / /etc /root /run /tmp /var /var/tmp /home; do echo x >$d/x && rm $d/x || exit 1; done",
    )
    modes = sh(shared_engine, project, "stat -c %a /tmp /var/tmp /root /etc")
    assert modes.split()[:2] == ["1777", "1777"]


def test_python_is_the_one_that_runs_stackctl(shared_engine: Engine, project: Path) -> None:
    script = "import platform, ssl, sqlite3, ctypes, zlib, lzma; print(platform.python_version())"
    found = shared_engine.run("exec", "-T", "it", "python3", "-c", script, cwd=project).out
    assert found.strip() == platform.python_version()
    as_nobody = shared_engine.run("exec", "-T", "-u", "nobody", "it", "python3", "-c", script, cwd=project).out
    assert as_nobody == found


def test_names_are_looked_up_and_certificates_are_there(shared_engine: Engine, project: Path) -> None:
    assert sh(shared_engine, project, "id -un").strip() == "root"
    assert "localhost" in sh(shared_engine, project, "cat /etc/hosts")
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    here = len(ssl.create_default_context().get_ca_certs())
    assert shared_engine.run("exec", "-T", "it", "python3", "-c", count, cwd=project).out == f"{here}\n"


def test_the_skeleton_is_private_to_the_engine(shared_engine: Engine, project: Path) -> None:
    assert project
    (skeleton,) = (shared_engine.root / "images").glob("host-*")
    assert stat.S_IMODE((shared_engine.root / "images").stat().st_mode) == 0o700
    assert not (skeleton / "etc/shadow").exists()
