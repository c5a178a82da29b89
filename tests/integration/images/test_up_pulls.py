"""`up`, `plan` and `run` bring in the images they need, as the services' policies say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.images import Image, busybox_image, digest, files_tar
from tests.support.registry import Registry, serving
from tests.support.stack import Stack, stack_in

BOX = busybox_image(files={"which": b"first"})
NEWER = busybox_image(files={"which": b"second"})
QUICK = {"network_mode": "none", "stop_grace_period": "0s", "init": True}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as found:
        found.put(BOX, "box:1")
        yield found


@pytest.fixture
def stack(shared_engine: Engine, registry: Registry, tmp_path: Path) -> Iterator[Stack]:
    with stack_in(shared_engine, tmp_path / "files", "pulls") as own:
        yield own
    images = shared_engine.run("image", "ls", "--format", "json").rows()
    for image in images:
        if any(registry.address in name for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]):
            shared_engine.run("image", "rm", "-f", image["Id"])


def service(registry: Registry, name: str = "box:1", **keys: Any) -> dict[str, Any]:
    return {"image": f"{registry.address}/{name}", "command": "sleep 1000", **QUICK, **keys}


def which(stack: Stack) -> str:
    return stack.run("exec", "-T", "web", "cat", "/which").out


def test_up_pulls_what_is_missing_once_and_plan_only_looks(stack: Stack, registry: Registry) -> None:
    stack.write({"web": service(registry), "api": service(registry)})
    planned = stack.run("plan").out
    assert f"+ pull image {registry.address}/box:1" in planned
    assert len(registry.fetched("blobs")) == 1  # the configuration

    told = stack.run("up", "-d").err

    assert f" Image {registry.address}/box:1  Pulling\n Image {registry.address}/box:1  Pulled\n" in told
    assert which(stack) == "first"
    assert len([path for path in registry.fetched("blobs") if path.endswith(digest(BOX.layers[0]))]) == 1
    registry.asked.clear()
    assert "nothing to do" in stack.run("up", "-d").err
    assert registry.asked == []


def test_always_follows_a_tag_that_has_moved_and_replaces_the_container(stack: Stack, registry: Registry) -> None:
    stack.write({"web": service(registry)})
    stack.run("up", "-d")
    registry.put(NEWER, "box:1")
    assert "nothing to do" in stack.run("up", "-d").err
    stack.run("up", "-d", "--pull", "always")
    assert which(stack) == "second"
    stack.write({"web": service(registry, pull_policy="always")})
    registry.put(BOX, "box:1")
    assert "pull image" in stack.run("plan").out
    stack.run("up", "-d")
    assert which(stack) == "first"
    registry.asked.clear()
    assert "nothing to do" in stack.run("up", "-d").err
    assert {asked.method for asked in registry.asked if "/manifests/" in asked.path} == {"HEAD"}


def test_never_asks_no_registry(stack: Stack, registry: Registry) -> None:
    stack.write({"web": service(registry, pull_policy="never")})
    refused = stack.run("up", "-d", status=1).err
    assert refused.count("error[image-not-found]: Image is not in the engine") == refused.count("error[") == 1
    assert f"service web needs the image {registry.address}/box:1, and may not pull it." in refused
    stack.write({"web": service(registry)})
    stack.run("up", "-d", "--pull", "never", status=1)
    assert registry.asked == []


def test_an_image_that_cannot_be_had_is_told_at_its_line(stack: Stack, registry: Registry) -> None:
    name = f"{registry.address}/nosuch:1"
    stack.file.write_text(f"name: pulls\nservices:\n  web:\n    image: {name}\n", encoding="utf-8")
    caret = "^" * len(name)
    assert (
        stack.run("up", "-d", status=1).err
        == f"""\
error[image-not-found]: Image is not in the engine
  --> compose.yaml:4:12
    4 |     image: {name}
      |            {caret}
service web needs the image {name}: {name} is not in the registry.
hint: bring it in with: stackctl image load -i ARCHIVE, or stackctl image import ROOT.tar {name}
"""
    )


def test_services_that_are_not_asked_for_need_no_image(stack: Stack, registry: Registry) -> None:
    stack.write({"web": service(registry), "broken": service(registry, "nosuch:1")})
    stack.run("up", "-d", "web")
    assert which(stack) == "first"
    assert stack.run("run", "--rm", "-T", "web", "cat", "/which").out == "first"


def test_run_pulls_the_image_of_its_service(stack: Stack, registry: Registry) -> None:
    stack.write({"web": service(registry)})
    assert stack.run("run", "--rm", "-T", "web", "cat", "/which").out == "first"


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_up_asks_as_the_user_who_logged_in(stack: Stack, registry: Registry, tmp_path: Path, login: str) -> None:
    registry.login, registry.user = login, ("me", "secret")
    stack.write({"web": service(registry)})
    refused = stack.run("up", "-d", status=1, env={"HOME": str(tmp_path)}).err
    assert f"hint: it does not exist, or it needs: stackctl login {registry.address}" in refused
    (tmp_path / ".docker").mkdir()
    auths = {registry.address: {"auth": base64.b64encode(b"me:secret").decode()}}
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": auths}), encoding="utf-8")
    stack.run("up", "-d", env={"HOME": str(tmp_path)})
    assert which(stack) == "first"


def test_a_layer_that_lies_fails_its_service_and_no_other(stack: Stack, registry: Registry) -> None:
    layer = files_tar({"x": b"x"})
    registry.put(Image((layer,), (), {}), "bad:1")
    registry.blobs[digest(layer)] = layer[:-1] + b"x"
    stack.write({"web": service(registry), "bad": service(registry, "bad:1")})
    failed = stack.run("up", "-d", status=1).err
    assert "error[digest-mismatch]" in failed
    assert f" Image {registry.address}/bad:1  Error" in failed
    assert which(stack) == "first"
    assert stack.states() == {"pulls-web-1": "running"}
