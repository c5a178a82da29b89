"""What `up` decides about one service, as the text of the plan: create, keep, update in place, replace, scale."""

from __future__ import annotations

import pytest

from stackctl.engines.memory_world import Behaviour
from stackctl.errors import ContainerError
from stackctl.reconcile.plan_text import plan_text
from tests.support.shop import Shop, image, up_text

WEB = """
services:
  web:
    image: web:1
"""
REPLACED = """\
1 create 000000000002_shop-web-1               {why}
2 stop shop-web-1                              replaced by 1{pad} after 1
3 remove shop-web-1                            replaced by 1{pad} after 2
4 rename 000000000002_shop-web-1 to shop-web-1 replacement  {pad} after 3
5 start shop-web-1                             replacement  {pad} after 4
"""


def replaced(why: str) -> str:
    return REPLACED.format(why=why, pad=" " * (len(why) - len("replaced by 1")))


def test_what_is_missing_is_created() -> None:
    assert (
        up_text("", WEB + "    volumes: [data:/data]\nvolumes:\n  data:\n")
        == """\
1 create network shop_default is missing
2 create volume shop_data     is missing
3 create shop-web-1           is missing after 1 2
4 start shop-web-1            is missing after 3
"""
    )


def test_what_is_as_wanted_is_kept() -> None:
    assert up_text(WEB, WEB) == ""


@pytest.mark.parametrize(
    ("addition", "why"),
    [
        ("environment: {DEBUG: '1'}", "environment +DEBUG  (shop.yaml:6)"),
        ("command: [serve, -v]", "command: serve -> serve -v  (shop.yaml:6)"),
        ("user: '7'", "user: (none) -> 7  (shop.yaml:6)"),
        ("read_only: true", "read_only: false -> true  (shop.yaml:6)"),
        ("volumes: ['/srv:/srv:ro']", "volumes at /srv: (none) -> /srv:ro  (shop.yaml:6)"),
        ("network_mode: none", "networks: shop_default -> none  (shop.yaml:6)"),
    ],
)
def test_what_cannot_change_in_place_replaces_the_container(addition: str, why: str) -> None:
    assert up_text(WEB, f"{WEB}    {addition}\n") == replaced(why)


def test_another_image_replaces_the_container() -> None:
    assert up_text(WEB, WEB.replace("web:1", "web:2")) == replaced("image: web:1 -> web:2  (shop.yaml:5)")


def test_another_image_under_the_same_reference_replaces_the_container() -> None:
    shop = Shop(images={"web:1": image("old")})
    shop.up(WEB)
    shop.images["web:1"] = image("new")
    old, new = image("old").id[7:19], image("new").id[7:19]
    assert plan_text(shop.plan(WEB)) == replaced(f"image web:1: {old} -> {new}  (shop.yaml:5)")


def test_environment_names_keys_and_never_values() -> None:
    before = WEB + "    environment: {KEPT: a, GONE: b, OTHER: secret-1}\n"
    after = WEB + "    environment: {KEPT: a, OTHER: secret-2, NEW: c}\n"
    assert up_text(before, after) == replaced("environment ~OTHER +NEW -GONE  (shop.yaml:6)")


@pytest.mark.parametrize("kind", ["config", "secret"])
def test_other_content_of_a_config_or_secret_replaces_the_container(kind: str) -> None:
    text = f"{WEB}    {kind}s: [motd]\n{kind}s:\n  motd: {{VALUE}}\n"
    if kind == "config":
        before, after = (text.replace("VALUE", f"content: {word}") for word in ("hello", "goodbye"))
        assert up_text(before, after) == replaced("content of config motd changed  (shop.yaml:6)")
        return
    shop, stack = Shop(), text.replace("VALUE", "environment: MOTD")
    shop.apply(shop.plan_of(shop.desired(stack, environment={"MOTD": "hello"})))
    plan = shop.plan_of(shop.desired(stack, environment={"MOTD": "goodbye"}))
    assert plan_text(plan) == replaced("content of secret motd changed  (shop.yaml:6)")


@pytest.mark.parametrize(
    ("addition", "why"),
    [
        ("mem_limit: 128m", "memory: (none) -> 128M  (shop.yaml:6)"),
        ("cpus: 0.5", "cpus: (none) -> 0.5  (shop.yaml:6)"),
        ("pids_limit: 10", "pids: (none) -> 10  (shop.yaml:6)"),
        ("restart: always", "restart: no -> always  (shop.yaml:6)"),
        ("ports: ['8080:80']", "ports: (none) -> 8080:80  (shop.yaml:6)"),
        ("expose: ['99', 8/udp]", "expose: (none) -> 8/udp 99/tcp  (shop.yaml:6)"),
        ("stop_grace_period: 3s", "stop_grace_period: 10.0 -> 3.0  (shop.yaml:6)"),
        ("stop_signal: SIGINT", "stop_signal: SIGTERM -> SIGINT  (shop.yaml:6)"),
        ("labels: {team: blue}", "labels +team  (shop.yaml:6)"),
        ("healthcheck: {test: [CMD, ok]}", "healthcheck: (none) -> ok  (shop.yaml:6)"),
        (
            "logging: {options: {max-file: '7'}}",
            "logging: max_bytes=104857600, max_files=3 -> max_bytes=104857600, max_files=7  (shop.yaml:6)",
        ),
    ],
)
def test_what_is_not_the_process_itself_changes_without_a_restart(addition: str, why: str) -> None:
    assert up_text(WEB, f"{WEB}    {addition}\n") == f"1 update shop-web-1 {why}\n"


def test_a_network_more_is_joined_and_one_less_left_without_a_restart() -> None:
    two = WEB + "    networks: [default, admin]\nnetworks:\n  admin:\n"
    joined = """\
1 create network shop_admin is missing
2 update shop-web-1         networks: shop_default -> shop_admin, shop_default  (shop.yaml:6) after 1
"""
    assert up_text(WEB, two) == joined
    left = "1 update shop-web-1 networks: shop_admin, shop_default -> shop_default  (shop.yaml:4)\n"
    assert up_text(two, WEB) == left


def test_another_address_replaces_the_container() -> None:
    pool = "networks:\n  default:\n    ipam: {config: [{subnet: 10.9.0.0/24}]}\n"
    text = WEB + "    networks: {default: {ipv4_address: 10.9.0.X}}\n" + pool
    assert " create 000000000002_shop-web-1 " in up_text(text.replace("X", "7"), text.replace("X", "8"))


def test_two_services_exchange_their_host_ports_by_being_replaced() -> None:
    text = WEB + "    ports: ['8080:80']\n  api:\n    image: api:1\n    ports: ['8081:80']\n"
    exchanged = text.replace("8080", "X").replace("8081", "8080").replace("X", "8081")
    plan = up_text(text, exchanged)
    assert "update" not in plan
    assert plan.index("stop shop-api-1") < plan.index("create shop-web-1")


def test_a_port_that_another_service_gives_up_is_taken_once_it_is_free() -> None:
    before = WEB + "    ports: ['8080:80']\n"
    after = WEB + "    ports: ['8081:80']\n  api:\n    image: api:1\n    ports: ['8080:80']\n"
    shop = Shop()
    shop.up(before)
    shop.up(after)
    assert plan_text(shop.plan(after)) == ""


def test_an_update_says_the_line_of_each_limit() -> None:
    after = WEB + "    deploy:\n      resources:\n        limits:\n          memory: 128m\n          pids: 9\n"
    assert up_text(WEB, after) == (
        "1 update shop-web-1 memory: (none) -> 128M  (shop.yaml:9); pids: (none) -> 9  (shop.yaml:10)\n"
    )


def test_an_updated_container_runs_on() -> None:
    shop = Shop()
    shop.up(WEB)
    before = shop.containers()["web-1"]
    shop.up(WEB + "    cpus: 0.5\n    restart: always\n")
    after = shop.containers()["web-1"]
    assert (after.id, after.started_ns) == (before.id, before.started_ns)
    assert plan_text(shop.plan(WEB + "    cpus: 0.5\n    restart: always\n")) == ""


def test_more_replicas_touch_none_that_run() -> None:
    assert (
        up_text(WEB, WEB + "    deploy: {replicas: 3}\n")
        == """\
1 create shop-web-2 is missing
2 start shop-web-2  is missing after 1
3 create shop-web-3 is missing
4 start shop-web-3  is missing after 3
"""
    )


def test_fewer_replicas_remove_the_highest_numbers() -> None:
    assert (
        up_text(WEB + "    deploy: {replicas: 3}\n", WEB)
        == """\
1 stop shop-web-2   scaled down
2 remove shop-web-2 scaled down after 1
3 stop shop-web-3   scaled down
4 remove shop-web-3 scaled down after 3
"""
    )


def test_no_replicas_remove_all() -> None:
    assert (
        up_text(WEB, WEB + "    deploy: {replicas: 0}\n")
        == """\
1 stop shop-web-1   scaled down
2 remove shop-web-1 scaled down after 1
"""
    )


def test_of_too_many_replicas_the_obsolete_go_first() -> None:
    two = WEB + "    deploy: {replicas: 2}\n"
    shop = Shop()
    shop.up(two)
    # The first replica alone is made anew, as an interrupted `up` would leave it.
    for step in shop.plan(two.replace("web:1", "web:2")).steps[:5]:
        shop.engine.perform(step.action, lambda: False)
    assert (
        plan_text(shop.plan(WEB))
        == """\
1 stop shop-web-1   scaled down
2 remove shop-web-1 scaled down after 1
"""
    )


def test_every_replica_is_replaced() -> None:
    two = WEB + "    deploy: {replicas: 2}\n"
    lines = up_text(two, two.replace("web:1", "web:2")).splitlines()
    assert [line.split()[1] for line in lines] == ["create", "stop", "remove", "rename", "start"] * 2


def test_half_of_the_replicas_are_replaced_before_the_others_are_stopped() -> None:
    three = WEB + "    deploy: {replicas: 3}\n"
    plan = up_text(three, three.replace("web:1", "web:2"))
    assert "5  start shop-web-1 " in plan
    assert _after(plan, "stop shop-web-1") == "1"
    assert _after(plan, "stop shop-web-2") == "5 6"
    assert _after(plan, "stop shop-web-3") == "5 11"


def test_the_second_half_is_stopped_when_the_first_is_healthy() -> None:
    two = WEB + "    deploy: {replicas: 2}\n    healthcheck: {test: [CMD, ok]}\n"
    plan = up_text(two, two.replace("web:1", "web:2"))
    assert "6  await healthy of shop-web-1 " in plan
    assert _after(plan, "stop shop-web-2") == "6 7"


def _after(plan: str, step: str) -> str:
    (line,) = (line for line in plan.splitlines() if f" {step} " in line)
    return line.rpartition(" after ")[2]


def test_force_recreate_replaces_what_could_be_kept() -> None:
    assert up_text(WEB, WEB, recreate="force") == replaced("asked for by --force-recreate")


def test_no_recreate_keeps_what_should_be_replaced() -> None:
    assert up_text(WEB, WEB.replace("web:1", "web:2"), recreate="never") == ""


def test_what_has_exited_is_started() -> None:
    shop = Shop()
    shop.up(WEB)
    shop.engine.exit("shop-web-1", 3)
    assert plan_text(shop.plan(WEB)) == "1 start shop-web-1 exited (3)\n"


def test_no_start_only_creates() -> None:
    assert (
        up_text("", WEB, no_start=True)
        == """\
1 create network shop_default is missing
2 create shop-web-1           is missing after 1
"""
    )


def test_a_service_that_is_gone_leaves_an_orphan_and_a_warning() -> None:
    shop = Shop()
    shop.up(WEB + "  old:\n    image: old:1\n")
    plan = shop.plan(WEB)
    assert plan_text(plan) == ""
    assert [(warning.code, warning.detail) for warning in plan.warnings] == [("orphans", "shop-old-1 still exist.")]


def test_orphans_are_removed_when_asked_for() -> None:
    assert (
        up_text(WEB + "  old:\n    image: old:1\n", WEB, remove_orphans=True)
        == """\
1 stop shop-old-1   its service is no longer in the stack
2 remove shop-old-1 its service is no longer in the stack after 1
"""
    )


def test_a_service_of_a_profile_is_made_only_with_it() -> None:
    text = WEB + "  debug:\n    image: debug:1\n    profiles: [dev]\n"
    shop = Shop()
    assert [step.action for step in shop.plan(text).steps] == [step.action for step in shop.plan(WEB).steps]
    shop.up(WEB)
    assert (
        plan_text(shop.plan(text, profiles=("dev",)))
        == """\
1 create shop-debug-1 is missing
2 start shop-debug-1  is missing after 1
"""
    )


def test_a_service_whose_profile_is_off_is_no_orphan() -> None:
    text = WEB + "  debug:\n    image: debug:1\n    profiles: [dev]\n"
    shop = Shop()
    shop.up(text, profiles=("dev",))
    plan = shop.plan(text, remove_orphans=True)
    assert (plan_text(plan), plan.warnings) == ("", ())


def test_naming_a_service_brings_what_it_depends_on() -> None:
    text = WEB + "    depends_on: [db]\n  db:\n    image: db:1\n  other:\n    image: other:1\n"
    assert (
        up_text("", text, services=("web",))
        == """\
1 create network shop_default is missing
2 create shop-db-1            is missing after 1
3 start shop-db-1             is missing after 2
4 create shop-web-1           is missing after 1
5 start shop-web-1            is missing after 3 4
"""
    )


def test_naming_a_service_without_dependencies_touches_it_alone() -> None:
    text = WEB + "    depends_on: [db]\n  db:\n    image: db:1\n"
    assert (
        up_text("", text, services=("web",), no_deps=True)
        == """\
1 create network shop_default is missing
2 create shop-web-1           is missing after 1
3 start shop-web-1            is missing after 2
"""
    )


HOOKED = f"{WEB}    post_start: [{{command: warm}}]\n"


def test_a_hook_that_failed_runs_again_with_the_next_start() -> None:
    shop = Shop({"web": Behaviour(hook_error=ContainerError("no"))})
    assert not shop.apply(shop.plan(HOOKED)).is_ok

    again = shop.plan(HOOKED)
    shop.behaviours.clear()
    shop.up(HOOKED)

    assert plan_text(again) == "1 start shop-web-1 post_start has not run to its end\n"
    assert plan_text(shop.plan(HOOKED)) == ""


def test_a_changed_hook_is_named_without_its_environment() -> None:
    changed = f"{WEB}    post_start: [{{command: warm up, environment: {{KEY: secret}}}}]\n"

    assert up_text(HOOKED, changed) == replaced("post_start: warm -> warm up  (shop.yaml:6)")
