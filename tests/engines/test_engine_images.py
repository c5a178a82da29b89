"""Images that a registry has, on every engine: looking fetches nothing, pulling twice is pulling once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from stackctl.engines.memory import MemoryEngine
from stackctl.errors import StackctlError
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.reconcile.action import PullImage
from stackctl.reconcile.engine import ImageRequest, PullPolicy
from tests.engines.conftest import Bench
from tests.support.images import Image, digest, files_tar
from tests.support.registry import Registry, serving

Put = Callable[[str], ResolvedImage]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as found:
        yield found


@pytest.fixture
def put(bench: Bench, registry: Registry) -> Put:
    """Push an image with a command as ``box:1``; return what a look at the registry finds."""

    def push(command: str) -> ResolvedImage:
        image = Image((files_tar({bench.stack: b""}),), (), {"Cmd": [command, bench.stack]})
        manifest = registry.put(image, "box:1")
        architecture = json.loads(image.document)["architecture"]
        config = ImageConfig(cmd=(command, bench.stack), architecture=architecture)
        found = ResolvedImage(image.id, config, digest(manifest))
        if isinstance(bench.engine, MemoryEngine):
            bench.engine.remote_images[name_of(registry)] = found
        return found

    return push


def name_of(registry: Registry) -> str:
    return f"{registry.address}/box:1"


def look(bench: Bench, registry: Registry, policy: PullPolicy, *, max_age_s: float = 0.0) -> ResolvedImage | None:
    request = ImageRequest(name_of(registry), policy=policy, max_age_s=max_age_s)
    return bench.engine.resolve([request]).get(request)


def pull(registry: Registry, image: ResolvedImage) -> PullImage:
    return PullImage(name_of(registry), "", image.id, image.remote_digest)


def test_an_image_that_only_a_registry_has_is_found_and_stays_there(bench: Bench, registry: Registry, put: Put) -> None:
    there = put("one")
    assert look(bench, registry, "never") is None
    assert look(bench, registry, "missing") == look(bench, registry, "always") == there
    assert look(bench, registry, "never") is None


def test_a_pull_brings_it_once(bench: Bench, registry: Registry, put: Put) -> None:
    there = put("two")
    bench.do(pull(registry, there), pull(registry, there))
    here = ResolvedImage(there.id, there.config)
    assert look(bench, registry, "never") == look(bench, registry, "missing") == look(bench, registry, "always") == here


def test_a_tag_that_has_moved_is_seen_by_who_always_asks(bench: Bench, registry: Registry, put: Put) -> None:
    first = put("three")
    bench.do(pull(registry, first))
    second = put("four")
    assert look(bench, registry, "missing") == ResolvedImage(first.id, first.config)
    assert look(bench, registry, "always") == second
    bench.do(pull(registry, second))
    assert look(bench, registry, "never") == ResolvedImage(second.id, second.config)


def test_what_has_gone_from_the_registry_is_refused(bench: Bench, registry: Registry, put: Put) -> None:
    there = put("five")
    registry.manifests.clear()
    if isinstance(bench.engine, MemoryEngine):
        bench.engine.remote_images.clear()
    with pytest.raises(StackctlError) as caught:
        bench.do(pull(registry, there))
    assert caught.value.code == "image-not-found"
    assert look(bench, registry, "never") is None


def test_an_image_is_asked_for_again_once_it_is_too_old(bench: Bench, registry: Registry, put: Put) -> None:
    first = put("aged")
    bench.do(pull(registry, first))
    second = put("newer")
    here = ResolvedImage(first.id, first.config)
    assert look(bench, registry, "missing", max_age_s=10.0**6) == look(bench, registry, "never") == here
    if isinstance(bench.engine, MemoryEngine):
        bench.engine.advance(1.0)
    assert look(bench, registry, "missing", max_age_s=1e-6) == second
