"""Images that only a registry has: a plan brings in what its containers are made from, once, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from stackctl.model.image import ImageConfig
from stackctl.reconcile.plan_text import plan_summary, plan_text
from tests.support.shop import Shop, image

WEB = "services:\n  web:\n    image: web:1\n    network_mode: none\n"
TWO = WEB + "  api:\n    image: web:1\n    network_mode: none\n    depends_on: [web]\n"
DIGEST = "sha256:" + "d" * 64


def shop_with(*remote: str, config: ImageConfig | None = None) -> Shop:
    shop = Shop()
    for reference in remote:
        shop.engine.remote_images[reference] = replace(image(reference, config), remote_digest=DIGEST)
    return shop


def test_an_image_is_pulled_before_its_container_is_made() -> None:
    shop = shop_with("web:1")
    assert (
        plan_text(shop.plan(WEB))
        == """\
1 pull image web:1  is not here
2 create shop-web-1 is missing  after 1
3 start shop-web-1  is missing  after 2
"""
    )


def test_an_image_of_several_services_is_pulled_once() -> None:
    assert (
        plan_text(shop_with("web:1").plan(TWO))
        == """\
1 pull image web:1  is not here
2 create shop-web-1 is missing  after 1
3 start shop-web-1  is missing  after 2
4 create shop-api-1 is missing  after 1
5 start shop-api-1  is missing  after 3 4
"""
    )


def test_one_apply_converges() -> None:
    shop = shop_with("web:1")
    shop.up(TWO)
    assert shop.plan(TWO).is_empty
    assert shop.states() == {"web-1": "running", "api-1": "running"}


def test_an_image_of_a_service_that_is_not_asked_for_is_not_pulled() -> None:
    other = TWO.replace("api:\n    image: web:1", "api:\n    image: api:1")
    text = plan_text(shop_with("web:1", "api:1").plan(other, services=("web",)))
    assert "pull image web:1" in text
    assert "api:1" not in text


def test_a_container_that_stays_needs_no_image() -> None:
    shop = Shop()
    shop.up(WEB)
    del shop.engine.images["web:1"]
    shop.engine.remote_images["web:1"] = replace(image("web:1"), remote_digest=DIGEST)
    assert shop.plan(WEB).is_empty


def test_a_tag_that_has_moved_is_followed_only_where_the_policy_says_always() -> None:
    shop = Shop()
    shop.up(WEB)
    shop.engine.remote_images["web:1"] = replace(image("newer"), remote_digest=DIGEST)
    assert shop.plan(WEB).is_empty
    assert shop.plan(WEB + "    pull_policy: never\n").is_empty
    assert "pull image web:1" in plan_text(shop.plan(WEB + "    pull_policy: always\n"))
    shop.up(WEB + "    pull_policy: always\n")
    assert [container.image_id for container in shop.look().containers] == [image("newer").id]
    assert shop.plan(WEB + "    pull_policy: always\n").is_empty


def test_what_a_one_off_is_made_from_is_pulled_too() -> None:
    assert plan_text(shop_with("web:1").plan_run(WEB, "web")) == "1 pull image web:1 is not here\n"


def test_the_summary_names_what_is_pulled() -> None:
    assert "  + pull image web:1\n" in plan_summary(shop_with("web:1").plan(WEB))


def test_a_pull_that_fails_leaves_what_runs() -> None:
    shop = Shop()
    shop.up(WEB)
    shop.engine.remote_images["web:2"] = replace(image("web:2"), remote_digest=DIGEST)
    plan = shop.plan(WEB.replace("web:1", "web:2"))
    shop.engine.remote_images.clear()
    report = shop.apply(plan)
    assert [type(outcome.step.action).__name__ for outcome in report.failures] == ["PullImage"]
    assert [container.image_ref for container in shop.look().containers] == ["web:1"]
    assert shop.states() == {"web-1": "running"}
