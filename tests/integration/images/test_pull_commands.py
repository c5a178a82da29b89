"""`pull`, `login`, `logout` and `image pull|tag|history|prune`, with a real engine and Docker's own registry."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_registry import USER, DockerRegistry, docker_registry
from tests.support.engine import Engine, wait_until
from tests.support.images import Image, busybox_image, digest, files_tar
from tests.support.registry import Asked, Registry, Told, serving
from tests.support.store import kept

HELPER = """#!/bin/sh
# Keeps one login in a file, and speaks as docker-credential-helpers do.
echo "$1" >>"{folder}/asked"
case "$1" in
  store) cat >"{folder}/login" ;;
  get)
    read -r server
    cat "{folder}/login" 2>/dev/null || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
  erase) rm "{folder}/login" ;;
esac
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry that lets in USER only, with two images."""
    with docker_registry(tmp_path_factory.mktemp("registry"), user=USER) as found:
        found.push(busybox_image(files={"pulled": b"yes"}), "tools/box:1")
        for name in ("small", "other", "drawn"):
            found.push(Image((files_tar({name: b"a"}),), (), {}), f"{name}:1")
        yield found


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home of one's own, where logins are kept."""
    return {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'programs'}:{os.environ['PATH']}"}


def log_in(engine: Engine, registry: DockerRegistry, home: dict[str, str]) -> None:
    words = ("login", "-u", USER[0], "--password-stdin", registry.address)
    assert engine.run(*words, stdin=f"{USER[1]}\n", env=home).out == "Login Succeeded\n"


def test_a_login_lets_a_pull_in_and_a_logout_does_not(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    name = f"{registry.address}/small:1"
    refused = shared_engine.run("image", "pull", name, env=home, status=1)
    assert f"error[registry-denied]: pull access denied for {name}" in refused.err
    assert f"stackctl login {registry.address}" in refused.err

    log_in(shared_engine, registry, home)
    file = tmp_path / "home/.docker/config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pulled = shared_engine.run("image", "pull", name, env=home)
    digest_line, status, last = pulled.out.splitlines()
    assert digest_line.startswith("Digest: sha256:")
    assert (status, last) == (f"Status: Downloaded newer image for {name}", name)
    again = shared_engine.run("image", "pull", name, env=home)
    assert f"Status: Image is up to date for {name}" in again.out

    assert shared_engine.run("logout", registry.address, env=home).out == f"Removed the login to {registry.address}\n"
    assert json.loads(file.read_text(encoding="utf-8")) == {"auths": {}}
    shared_engine.run("image", "rm", name)
    shared_engine.run("image", "pull", name, env=home, status=1)


def test_a_wrong_password_is_not_kept(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    words = ("login", "-u", USER[0], "--password-stdin", registry.address)
    result = shared_engine.run(*words, stdin="wrong\n", env=home, status=1)
    assert "registry-denied" in result.err
    assert not (tmp_path / "home/.docker/config.json").exists()


def test_a_credential_helper_keeps_the_password_out_of_the_file(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    helper = tmp_path / "programs/docker-credential-ours"
    helper.parent.mkdir()
    helper.write_text(HELPER.format(folder=tmp_path), encoding="utf-8")
    helper.chmod(0o755)
    file = tmp_path / "home/.docker/config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"credsStore": "ours", "psFormat": "kept"}), encoding="utf-8")

    log_in(shared_engine, registry, home)
    assert json.loads((tmp_path / "login").read_text(encoding="utf-8"))["Secret"] == USER[1]
    shared_engine.run("image", "pull", "-q", f"{registry.address}/small:1", env=home)
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "credsStore": "ours",
        "psFormat": "kept",
        "auths": {registry.address: {}},
    }
    shared_engine.run("logout", registry.address, env=home)
    assert not (tmp_path / "login").exists()
    assert (tmp_path / "asked").read_text(encoding="utf-8").split() == ["store", "get", "get", "erase"]


def test_pull_brings_the_images_of_the_stack(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    log_in(shared_engine, registry, home)
    services = {
        "a": {"image": f"{registry.address}/tools/box:1", "command": "cat /pulled", "network_mode": "none"},
        "b": {"image": f"{registry.address}/other:1"},
        "same": {"image": f"{registry.address}/other:1"},
        "c": {"image": "host"},
    }
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "pulls", "services": services}), encoding="utf-8")

    told = shared_engine.run("pull", cwd=tmp_path, env=home).err

    assert sorted(told.splitlines()) == sorted(
        f" Image {registry.address}/{name}  {word}"
        for name, last in (("tools/box:1", "Pulled"), ("other:1", "Pulled"))
        for word in ("Pulling", last)
    )
    assert shared_engine.run("run", "--rm", "-T", "a", cwd=tmp_path).out == "yes"
    assert "Up to date" in shared_engine.run("pull", "b", cwd=tmp_path, env=home).err
    assert shared_engine.run("pull", "--policy", "missing", cwd=tmp_path, env=home).err == ""


def test_an_image_that_does_not_exist_fails_the_pull_unless_that_is_asked_for(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    log_in(shared_engine, registry, home)
    services = {"a": {"image": f"{registry.address}/nosuch:1"}, "b": {"image": f"{registry.address}/small:1"}}
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "pulls", "services": services}), encoding="utf-8")
    failed = shared_engine.run("pull", cwd=tmp_path, env=home, status=1).err
    assert f"error[image-not-found]: {registry.address}/nosuch:1 is not in the registry\n" in failed
    shared_engine.run("pull", "--ignore-pull-failures", cwd=tmp_path, env=home)


def test_bars_are_drawn_on_a_terminal(shared_engine: Engine, registry: DockerRegistry, home: dict[str, str]) -> None:
    log_in(shared_engine, registry, home)
    ours, theirs = pty.openpty()
    name = f"{registry.address}/drawn:1"
    pulling = shared_engine.start(
        "image", "pull", name, env={**home, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert pulling.wait(20) == 0
    text = seen.decode()
    assert f"Image {name}" in text
    assert "Pulled" in text
    assert "Pull complete" in text


def test_tag_history_and_prune(shared_engine: Engine) -> None:
    image_id = shared_engine.run(
        "image", "import", "-c", 'CMD ["x"]', "-", "first:1", stdin=files_tar({"f": bytes(5000)})
    ).out.strip()
    shared_engine.run("image", "tag", "first:1", "registry.example:5000/second:2")
    (shown,) = shared_engine.run("image", "inspect", image_id).json()
    assert shown["RepoTags"] == ["first:1", "registry.example:5000/second:2"]
    (step,) = shared_engine.run("image", "history", "--format", "json", "first:1").rows()
    assert (step["Id"], step["Size"], step["Comment"]) == (image_id, 5000, "Imported from -")
    assert "Imported from -" in shared_engine.run("image", "history", "first:1").out

    # Its names go to another image: nothing leads to it any more.
    shared_engine.run("image", "import", "-", "first:1", stdin=files_tar({"g": b""}))
    shared_engine.run("image", "rm", "registry.example:5000/second:2", status=None)
    pruned = shared_engine.run("image", "prune", "-f").out
    assert image_id not in shared_engine.run("image", "ls", "-q", "--no-trunc").out
    assert "Total reclaimed space:" in pruned
    assert "busybox" in shared_engine.run("image", "ls").out
    everything = shared_engine.run("image", "prune", "-a", "-f").out
    assert "untagged: first:1" in everything
    assert shared_engine.run("image", "ls", "-q").out.count("\n") == 1


def test_a_daemon_killed_amid_a_pull_leaves_nothing_and_the_same_pull_works_after(engine: Engine) -> None:
    with serving(Registry()) as hostile:
        layer = files_tar({"f": os.urandom(3_000_000)})
        hostile.put(Image((layer,), (), {}), "app:1")

        def stall(asked: Asked) -> Told | None:
            if asked.path.endswith(digest(layer)):
                return Told(200, layer[:2_000_000], length=len(layer), stalls=True)
            return None

        hostile.trick = stall
        before = kept(engine.root)
        daemon = engine.pid("daemon")
        pulling = engine.start("image", "pull", f"{hostile.address}/app:1")
        arriving = engine.root / "images/tmp"
        wait_until("some of it is here", lambda: any(p.stat().st_size > 1_000_000 for p in arriving.glob("*/blob-*")))
        os.kill(daemon, signal.SIGKILL)
        assert pulling.wait(20) == 1
        wait_until("nothing is left of the pull", lambda: kept(engine.root) == before)
        hostile.trick = lambda _: None
        wait_until(
            "the pull works", lambda: engine.run("image", "pull", f"{hostile.address}/app:1", status=None).status == 0
        )


def test_a_client_that_goes_away_ends_its_pull(engine: Engine) -> None:
    with serving(Registry()) as slow:
        slow.put(Image((files_tar({"f": b"f"}),), (), {}), "app:1")
        layer = next(path for path in slow.blobs if slow.blobs[path].startswith(b"f\0"))
        slow.trick = lambda asked: Told(200, bytes(1000), length=10**9, endless=True) if layer in asked.path else None
        shape = json.loads(slow.manifests["app", "1"][1])
        shape["layers"][0]["size"] = 10**11
        slow.put_manifest("app", "1", {key: shape[key] for key in ("config", "layers")}, shape["mediaType"])
        pulling = engine.start("image", "pull", f"{slow.address}/app:1")
        wait_until("it is under way", lambda: slow.fetched(layer) or any(layer in asked.path for asked in slow.asked))
        pulling.send_signal(signal.SIGINT)
        assert pulling.wait(20) == 130
        wait_until("it has ended", lambda: kept(engine.root)["tmp"] == [])


def test_config_names_images_by_the_digest_their_registry_has(
    shared_engine: Engine, registry: DockerRegistry, home: dict[str, str], tmp_path: Path
) -> None:
    held = registry.push(Image((files_tar({"pinned": b"a"}),), (), {}), "pinned:1")
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  a: {{image: '{registry.address}/pinned:1'}}\n  b: {{image: host}}\n", encoding="utf-8"
    )
    log_in(shared_engine, registry, home)
    stack = ("-f", str(tmp_path / "compose.yaml"), "config")
    pinned = f"{registry.address}/pinned:1@{held}"

    resolved = shared_engine.run(*stack, "--resolve-image-digests", "--format", "json", env=home).out
    locked = shared_engine.run(*stack, "--lock-image-digests", env=home).out

    assert {name: one["image"] for name, one in json.loads(resolved)["services"].items()} == {"a": pinned, "b": "host"}
    assert locked == f"services:\n  a:\n    image: {pinned}\n  b: {{}}\n"
    (tmp_path / "compose.yaml").write_text(f"services: {{a: {{image: '{registry.address}/none:1'}}}}", encoding="utf-8")
    assert "none:1" in shared_engine.run(*stack, "--resolve-image-digests", env=home, status=1).err
