"""What is not the stack's own, and what an interrupted run left: never touched, and always one answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl import labels
from stackctl.errors import PlanError
from stackctl.model.container import ContainerSpec
from stackctl.model.network import NetworkSpec
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.action import Action, CreateContainer, CreateNetwork, CreateVolume
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import Shop, image

WEB = """
services:
  web:
    image: web:1
"""
NEXT = WEB.replace("web:1", "web:2")
NETWORK = WEB + "    networks: [out]\nnetworks:\n  out: {external: true, name: lan}\n"
VOLUME = WEB + "    volumes: [out:/data]\nvolumes:\n  out: {external: true, name: kept}\n"


def make(shop: Shop, action: Action) -> None:
    shop.engine.perform(action, lambda: False)


def foreign_container(name: str, **marks: str) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        image_ref="web:1",
        image_id=image("web:1").id,
        argv=("serve",),
        labels=tuple(sorted(marks.items())),
    )


def refusal(shop: Shop, text: str) -> PlanError:
    with pytest.raises(PlanError) as caught:
        shop.plan(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (NETWORK, "external-network-missing", "external network lan does not exist"),
        (VOLUME, "external-volume-missing", "external volume kept does not exist"),
    ],
)
def test_an_external_thing_must_exist(text: str, code: str, message: str) -> None:
    error = refusal(Shop(), text)
    assert (error.code, str(error)) == (code, message)
    assert [str(source) for source in error.diagnostics[0].sources] == ["shop.yaml:8"]


@pytest.mark.parametrize(
    ("text", "action"),
    [(NETWORK, CreateNetwork(NetworkSpec(name="lan"))), (VOLUME, CreateVolume(VolumeSpec(name="kept")))],
)
def test_an_external_thing_is_used_and_left(text: str, action: Action) -> None:
    shop = Shop()
    make(shop, action)
    for plan in (shop.up(text), shop.do("down", remove_volumes=True)):
        assert " lan" not in plan_text(plan) and " kept" not in plan_text(plan)


def test_a_container_name_of_somebody_else_is_refused() -> None:
    shop = Shop()
    shop.desired(WEB)
    make(shop, CreateContainer(foreign_container("shop-web-1")))
    error = refusal(shop, WEB)
    assert (error.code, str(error)) == (
        "container-name-taken",
        "container name shop-web-1 is taken: that container was not made by a stack",
    )


def test_a_container_name_of_another_stack_is_refused() -> None:
    shop = Shop()
    shop.desired(WEB)
    marks = {labels.PROJECT: "other", labels.SERVICE: "web"}
    make(shop, CreateContainer(foreign_container("shop-web-1", **marks)))
    assert str(refusal(shop, WEB)) == (
        "container name shop-web-1 is taken: that container belongs to service web of stack other"
    )


def test_two_services_cannot_want_one_name() -> None:
    shop = Shop()
    stack = shop.desired(WEB + "  api:\n    image: api:1\n").stack
    services = {name: replace(service, container_name="same") for name, service in stack.services.items()}
    with pytest.raises(PlanError) as caught:
        shop.plan_of(shop.desired_of(replace(stack, services=services)))
    assert str(caught.value) == "services api and web both want the container name same"


def test_a_network_of_somebody_else_is_refused() -> None:
    shop = Shop()
    make(shop, CreateNetwork(NetworkSpec(name="shop_default")))
    assert str(refusal(shop, WEB)) == "network shop_default exists but is not ours: it was not made by a stack"


def test_a_volume_of_somebody_else_is_used_with_a_warning_and_never_removed() -> None:
    shop, text = Shop(), WEB + "    volumes: [data:/data]\nvolumes:\n  data:\n"
    make(shop, CreateVolume(VolumeSpec(name="shop_data")))
    plan = shop.up(text)
    assert [warning.code for warning in plan.warnings] == ["volume-not-ours"]
    assert "volume" not in plan_text(shop.do("down", remove_volumes=True))


def test_unlabelled_things_are_not_seen() -> None:
    shop = Shop()
    shop.up(WEB)
    make(shop, CreateContainer(foreign_container("bystander")))
    make(shop, CreateNetwork(NetworkSpec(name="bystander")))
    assert plan_text(shop.plan(WEB, remove_orphans=True)) == ""
    assert "bystander" not in plan_text(shop.plan_existing("down", remove_orphans=True, remove_volumes=True))


CUT_OFF = {
    1: """\
1 remove 000000000002_shop-web-1               left over from an interrupted replacement
2 create 000000000002_shop-web-1               image: web:1 -> web:2  (shop.yaml:5)      after 1
3 stop shop-web-1                              replaced by 2                             after 2
4 remove shop-web-1                            replaced by 2                             after 3
5 rename 000000000002_shop-web-1 to shop-web-1 replacement                               after 4
6 start shop-web-1                             replacement                               after 5
""",
    2: """\
1 remove 000000000002_shop-web-1               left over from an interrupted replacement
2 create 000000000002_shop-web-1               image: web:1 -> web:2  (shop.yaml:5)      after 1
3 remove shop-web-1                            replaced by 2                             after 2
4 rename 000000000002_shop-web-1 to shop-web-1 replacement                               after 3
5 start shop-web-1                             replacement                               after 4
""",
    3: """\
1 rename 000000000002_shop-web-1 to shop-web-1 left over from an interrupted replacement
2 start shop-web-1                             is not started                            after 1
""",
    4: "1 start shop-web-1 is not started\n",
    5: "",
}


@pytest.mark.parametrize("steps", CUT_OFF)
def test_a_replacement_that_was_cut_off_is_finished(steps: int) -> None:
    shop = Shop()
    shop.up(WEB)
    for step in shop.plan(NEXT).steps[:steps]:
        make(shop, step.action)
    assert plan_text(shop.plan(NEXT)) == CUT_OFF[steps]
    shop.up(NEXT)
    assert plan_text(shop.plan(NEXT)) == ""


def test_a_replacement_that_was_cut_off_can_be_called_off() -> None:
    shop = Shop()
    shop.up(WEB)
    before = shop.containers()["web-1"]
    make(shop, shop.plan(NEXT).steps[0].action)
    assert plan_text(shop.up(WEB)) == "1 remove 000000000002_shop-web-1 left over from an interrupted replacement\n"
    assert shop.containers() == {"web-1": replace(before)}
