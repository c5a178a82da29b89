"""Images that are built, on every engine: what was sent is what they are made of, and doing it twice is no harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest

from stackctl.engines.docker.engine import DockerEngine
from stackctl.engines.hosting import BuildWishes
from stackctl.engines.local import LocalEngine
from stackctl.engines.memory import MemoryEngine
from stackctl.errors import StackctlError
from stackctl.model.build import BuildInputs, BuildSpec
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.reconcile.action import BuildImage, CreateContainer, StartContainer
from stackctl.reconcile.engine import ImageRequest
from tests.engines.conftest import Bench
from tests.support.images import files_tar

DOCKERFILE = 'FROM busybox\nCOPY it /it\nCMD ["sh", "-c", "exit 0"]\n'
SPEC = BuildSpec(context="/sent")


@pytest.fixture
def building(bench: Bench) -> Iterator[Bench]:
    """The bench of a client that has sent a context for the service ``web``."""
    engine = bench.engine
    if isinstance(engine, MemoryEngine):
        made = ResolvedImage("sha256:" + "c" * 64, ImageConfig(cmd=("sh", "-c", "exit 0")))
        engine.built_images["web"] = made
        yield bench
        engine.built_images.clear()
        return
    assert isinstance(engine, LocalEngine | DockerEngine)
    contexts = engine.builds.contexts
    sent = contexts.add(BytesIO(files_tar({"Dockerfile": DOCKERFILE.encode(), "it": b"content"})))
    wishes = BuildWishes(inputs={"web": BuildInputs(dockerfile=DOCKERFILE, context=sent)})
    yield replace(bench, engine=engine.for_caller({}, lambda *_: None, wishes))
    contexts.drop([sent])


def named(bench: Bench, reference: str) -> ResolvedImage | None:
    request = ImageRequest(reference, policy="never")
    return bench.engine.resolve([request]).get(request)


def test_a_built_image_is_there_under_its_names_and_runs(building: Bench) -> None:
    name = f"{building.stack}-web"
    build = BuildImage(name, "web", replace(SPEC, tags=(f"{name}:other",)), SPEC)
    assert named(building, name) is None
    building.do(build)
    first = named(building, name)
    building.do(build)
    assert first is not None
    assert named(building, name) == named(building, f"{name}:other") == first
    spec = building.container("once", *first.config.cmd, image_id=first.id)
    building.do(CreateContainer(spec), StartContainer(spec.name))


def test_what_nobody_has_sent_is_not_built(bench: Bench) -> None:
    with pytest.raises(StackctlError) as caught:
        bench.do(BuildImage(f"{bench.stack}-none", "none", SPEC, SPEC))
    assert caught.value.code == "build-context-missing"
