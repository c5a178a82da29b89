"""Images that are built: which have to be, why, and what a plan does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stackctl.model.build import BuildInputs, BuildSpec
from stackctl.model.image import ImageConfig
from stackctl.reconcile.action import BuildImage
from stackctl.reconcile.builds import BuildChoice, builds_of, input_changes, inputs_text, plan_builds
from stackctl.reconcile.desired import Desired, PlannedBuild
from stackctl.reconcile.plan_text import plan_summary, plan_text
from tests.support.shop import Shop, image

WEB = "services:\n  web:\n    build: .\n    network_mode: none\n"
TWO = WEB + "  db:\n    image: db:1\n    network_mode: none\n"
SPEC = BuildSpec(context="/shop", args=(("A", "1"),))
INPUTS = BuildInputs(dockerfile="FROM scratch", files={"a": "644 x", "b": "644 y"})
BASES = {"busybox": "sha256:old"}


class Known:
    """Images by name, and what they were built from."""

    def __init__(self, ids: Mapping[str, str], inputs: Mapping[str, str] | None = None) -> None:
        self._ids, self._inputs = dict(ids), dict(inputs or {})

    def image_id(self, reference: str) -> str:
        return self._ids.get(reference, "")

    def build_inputs(self, reference: str) -> str:
        return self._inputs.get(reference, "")


def changes(spec: BuildSpec = SPEC, inputs: BuildInputs = INPUTS, **ids: str) -> list[str]:
    kept = inputs_text(SPEC, INPUTS, BASES)
    return input_changes(kept, spec, inputs, lambda name: ids.get(name, "sha256:old"))


@pytest.mark.parametrize(
    ("spec", "inputs", "ids", "expected"),
    [
        ({}, {}, {}, []),
        ({}, {"dockerfile": "FROM busybox"}, {}, ["Dockerfile changed"]),
        ({}, {"dockerfile": "FROM busybox", "path": "app/D"}, {}, ["app/D changed"]),
        (
            {},
            {"files": {"a": "755 x", "c": "644 z"}},
            {},
            ["context: a changed", "context: c added", "context: b removed"],
        ),
        (
            {},
            {"files": {**INPUTS.files, **{f"n{at}": "" for at in range(5)}}},
            {},
            ["context: n0 added", "context: n1 added", "context: n2 added", "context: 2 more"],
        ),
        ({"args": (("A", "2"), ("B", "1"))}, {}, {}, ["arg A changed", "arg B added"]),
        ({"target": "t", "shm_size_bytes": 1}, {}, {}, ["shm_size changed", "target changed"]),
        ({"no_cache": True, "pull": True}, {}, {}, []),
        ({}, {}, {"busybox": "sha256:new"}, ["base image busybox changed"]),
        ({}, {}, {"busybox": ""}, []),
    ],
)
def test_what_has_changed_is_named(
    spec: dict[str, Any], inputs: dict[str, Any], ids: dict[str, str], expected: list[str]
) -> None:
    assert changes(replace(SPEC, **spec), replace(INPUTS, **inputs), **ids) == expected


def test_what_is_kept_holds_no_value_of_an_argument() -> None:
    assert "sesame" not in inputs_text(replace(SPEC, args=(("A", "sesame"),)), INPUTS, {})


def why(known: Known, **choice: Any) -> dict[str, str]:
    stack = Shop().desired(TWO).stack
    wishes = BuildChoice(services=frozenset(stack.services), inputs={"web": INPUTS}, **choice)
    return {name: build.because for name, build in plan_builds(stack, known, wishes).items()}


def test_an_image_is_built_when_it_is_missing_or_made_from_something_else() -> None:
    stack = Shop().desired(TWO).stack
    spec = stack.services["web"].build
    assert spec is not None
    name = "shop-web"
    same = {name: inputs_text(spec, INPUTS, {})}
    other = {name: inputs_text(spec, replace(INPUTS, dockerfile="FROM x"), {})}
    assert why(Known({})) == {"web": "is not here"}
    assert why(Known({name: "sha256:1"}, same)) == {}
    assert why(Known({name: "sha256:1"}, other)) == {"web": "Dockerfile changed"}
    # Somebody loaded or pulled it under that name.
    assert why(Known({name: "sha256:1"})) == {}
    assert why(Known({name: "sha256:1"}, same), mode="always") == {"web": "asked for"}
    assert why(Known({}), mode="never") == {}


def with_build(shop: Shop, text: str, because: str = "context: a changed") -> Desired:
    """Return what a stack wants while the image of ``web`` is still to be built."""
    wanted = shop.desired(text)
    spec = wanted.stack.services["web"].build
    assert spec is not None
    where = wanted.stack.where("services", "web", "build")
    build = PlannedBuild(BuildImage("shop-web", "web", spec, spec), because, where)
    common = {name: replace(spec, image_id="") if name == "web" else spec for name, spec in wanted.common.items()}
    containers = {
        key: replace(container, spec=replace(container.spec, image_id="")) if key.name == "web" else container
        for key, container in wanted.containers.items()
    }
    return replace(wanted, common=common, containers=containers, builds={"web": build})


def test_a_plan_builds_first_and_tells_what_will_follow() -> None:
    shop = Shop()
    shop.up(TWO)
    plan = shop.plan_of(with_build(shop, TWO))
    assert plan_text(plan).split("\n")[0].split() == "1 build image shop-web context: a changed".split()
    assert (
        plan_summary(plan)
        == """\
Stack shop:

  ± container shop-web-1  (replace)
      image shop-web is built anew  (shop.yaml:4)
  + build image shop-web
      context: a changed  (shop.yaml:4)

Plan: 1 to build, 1 to replace.
"""
    )


def test_the_builds_of_a_plan_are_performed_alone_and_the_rest_is_planned_anew() -> None:
    shop = Shop()
    shop.up(TWO)
    builds = builds_of(shop.plan_of(with_build(shop, TWO)))
    assert builds is not None
    assert plan_text(builds) == "1 build image shop-web context: a changed\n"
    shop.engine.built_images["web"] = image("built", ImageConfig(cmd=("serve", "--anew")))
    assert shop.apply(builds).is_ok
    assert shop.engine.images["shop-web"] == shop.engine.built_images["web"]
    assert builds_of(shop.plan(TWO)) is None


def test_a_build_that_comes_to_the_same_image_replaces_nothing() -> None:
    shop = Shop()
    shop.up(TWO)
    shop.engine.built_images["web"] = shop.engine.images["shop-web"]
    builds = builds_of(shop.plan_of(with_build(shop, TWO)))
    assert builds is not None and shop.apply(builds).is_ok
    assert shop.plan(TWO).is_empty


def test_a_service_that_is_not_asked_for_is_not_built() -> None:
    shop = Shop()
    plan = shop.plan_of(with_build(shop, TWO), services=("db",))
    assert "build" not in plan_text(plan)
