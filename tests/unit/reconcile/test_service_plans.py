"""Plans for an engine whose grain is the service: what becomes of each, in which order, and why."""

from __future__ import annotations

import pytest

from stackctl.engines.memory_services import TaskBehaviour
from stackctl.errors import PlanError
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ServiceSpec
from stackctl.reconcile.action import CreateNetwork
from stackctl.reconcile.plan_text import plan_summary, plan_text
from stackctl.reconcile.service_action import AwaitService, CreateService
from tests.support.cluster import Cluster, up_text

SHOP = """\
services:
  db: {image: "pg:1"}
  web:
    image: nginx:1
    depends_on: {db: {condition: service_healthy}}
    environment: {MODE: a}
    configs: [motd]
configs: {motd: {content: hello}}
"""
ONE = "services:\n  web:\n    image: nginx:1\n"


def test_a_stack_is_made_in_the_order_of_its_conditions() -> None:
    assert (
        up_text("", SHOP)
        == """\
1 create network shop_default          is missing
2 create config shop_motd-ftze3os7wcrq is missing
3 create service shop_db               is missing         after 1
4 await healthy of service shop_db     others wait for db after 3
5 create service shop_web              is missing         after 1 2 4
"""
    )


def test_an_unchanged_stack_needs_nothing() -> None:
    assert up_text(SHOP, SHOP) == ""


def test_a_changed_service_is_updated_and_says_where_it_is_written() -> None:
    assert up_text(SHOP, SHOP.replace("nginx:1", "nginx:2").replace("MODE: a", "MODE: b")) == (
        "1 update service shop_web image: nginx:1 -> nginx:2  (compose.yaml:5); environment ~MODE  (compose.yaml:7)\n"
    )


def test_a_moved_tag_is_rolled_out() -> None:
    cluster = Cluster()
    cluster.pins["nginx:1"] = "nginx:1@sha256:" + "a" * 64
    cluster.up(ONE)
    cluster.pins["nginx:1"] = "nginx:1@sha256:" + "b" * 64
    assert cluster.text(ONE) == (
        "1 update service shop_web image nginx:1: aaaaaaaaaaaa -> bbbbbbbbbbbb  (compose.yaml:4)\n"
    )


@pytest.mark.parametrize(
    ("keys", "because"),
    [
        ("deploy: {replicas: 3}", "replicas: 1 -> 3"),
        ("deploy: {labels: {a: b}}", "deploy.labels +a"),
        ("deploy: {update_config: {delay: 3s, order: start-first}}", "update_config.delay: 0s -> 3s"),
    ],
)
def test_what_tasks_do_not_notice_is_a_live_update(keys: str, because: str) -> None:
    cluster = Cluster()
    cluster.up(ONE)
    (step,) = cluster.plan(f"{ONE}    {keys}\n").steps
    assert because in step.because
    assert step.disruption == "live"


@pytest.mark.parametrize(
    ("keys", "because"),
    [
        ("labels: {a: b}", "labels +a"),
        ("ports: ['8080:80']", "ports: (none) -> 8080:80"),
        ("ports: [{target: 80, published: '8080', protocol: udp, mode: host}]", "(none) -> 8080:80/udp (host)"),
        ("deploy: {placement: {constraints: [node.role==worker]}}", "constraints: (none) -> node.role==worker"),
        ("deploy: {resources: {reservations: {cpus: '0.5'}}}", "reservations.cpus: 0 -> 0.5"),
        ("deploy: {resources: {limits: {memory: 64m}}}", "memory: (none) -> 64M"),
        ("volumes: ['/tmp:/data']", "volumes: (none) -> /data: /tmp"),
        ("command: [a, b]", "command: (none) -> a b"),
        ("healthcheck: {test: [CMD, 'true']}", "healthcheck: (none) -> "),
        ("restart: 'no'", "restart_policy.condition: any -> none"),
        ("networks: [other]\nnetworks: {other: {}}", "networks: shop_default -> shop_other"),
    ],
)
def test_what_tasks_are_made_from_replaces_them(keys: str, because: str) -> None:
    cluster = Cluster()
    cluster.up(ONE)
    step = cluster.plan(f"{ONE}    {keys}\n").steps[-1]
    assert because in step.because
    assert step.disruption == "replace"


def test_another_mode_makes_the_service_anew() -> None:
    assert (
        up_text(ONE, f"{ONE}    deploy: {{mode: global}}\n")
        == """\
1 remove service shop_web mode: replicated -> global  (compose.yaml:5)
2 create service shop_web mode: replicated -> global  (compose.yaml:5) after 1
"""
    )


def test_a_new_content_is_a_new_config_and_the_last_but_one_goes() -> None:
    cluster = Cluster()
    cluster.up(SHOP)
    cluster.up(SHOP.replace("hello", "bye"))
    assert cluster.contents() == ["shop_motd-ftze3os7wcrq", "shop_motd-wspuewt6d6op"]
    assert (
        cluster.text(SHOP.replace("hello", "third"))
        == """\
1 create config shop_motd-whuzgjcqlpjs is missing
2 update service shop_web              content of the config at /motd changed  (compose.yaml:8) after 1
3 remove config shop_motd-ftze3os7wcrq nothing uses it any more                                 after 1 2
"""
    )


def test_a_network_that_changes_is_made_anew_between_its_services() -> None:
    changed = f"{ONE}networks: {{default: {{internal: true}}}}\n"
    assert (
        up_text(ONE, changed)
        == """\
1 remove service shop_web     network shop_default is replaced
2 remove network shop_default internal: false -> true  (compose.yaml:5) after 1
3 create network shop_default internal: false -> true  (compose.yaml:5) after 2
4 create service shop_web     network shop_default is replaced          after 1 3
"""
    )


def test_orphans_run_on_unless_asked_and_are_told_of() -> None:
    cluster = Cluster()
    cluster.up("services: {web: {image: 'nginx:1'}, old: {image: 'x:1', ports: ['80:80']}}")
    wanted = "services: {web: {image: 'nginx:1', ports: ['80:80']}}"
    (warning,) = cluster.plan(wanted).warnings
    assert (warning.code, warning.detail) == ("orphans", "shop_old runs on.")
    text = cluster.text(wanted, remove_orphans=True)
    assert text.splitlines()[0] == "1 remove service shop_old the stack no longer has it"
    assert text.splitlines()[1].endswith("after 1"), "its port is free only then"


def test_a_service_of_another_stack_is_not_touched() -> None:
    cluster = Cluster()
    cluster.engine.perform(CreateService(ServiceSpec(name="shop_web", image_ref="x", image="x")), lambda: False)
    with pytest.raises(PlanError) as caught:
        cluster.plan(ONE)
    assert caught.value.code == "service-not-ours"
    assert [place.line for place in caught.value.diagnostics[0].sources] == [3]


def test_what_is_external_must_exist() -> None:
    text = f"{ONE}    networks: [ext]\nnetworks: {{ext: {{external: true}}}}\n"
    cluster = Cluster()
    with pytest.raises(PlanError) as caught:
        cluster.plan(text)
    assert caught.value.code == "external-network-missing"
    cluster.engine.perform(CreateNetwork(NetworkSpec(name="ext")), lambda: False)
    assert cluster.text(text) == "1 create service shop_web is missing\n"


def test_a_paused_update_is_driven_on() -> None:
    cluster = Cluster({"web nginx:2": TaskBehaviour(exit_code=1)})
    cluster.up(ONE)
    broken = ONE.replace("nginx:1", "nginx:2")
    cluster.apply(cluster.plan(broken))
    cluster.behaviours.clear()
    assert cluster.text(broken) == (
        "1 update service shop_web its last update is paused: task failed: task: non-zero exit (1)\n"
    )
    cluster.up(broken)


def test_a_failed_update_is_sent_back_when_the_file_says_so() -> None:
    rolled = f"{ONE}    deploy: {{update_config: {{failure_action: rollback}}}}\n"
    cluster = Cluster({"web nginx:2": TaskBehaviour(start_error="no such image")})
    cluster.up(rolled)
    plan = cluster.plan(rolled.replace("nginx:1", "nginx:2"), wait=True)
    (wait,) = [step.action for step in plan.steps if isinstance(step.action, AwaitService)]
    assert wait.rollback is not None and wait.rollback.image == "nginx:1"
    report = cluster.apply(plan)
    assert "no such image" in str(report.failures[0].error)
    assert cluster.services()["shop_web"].image == "nginx:1"


def test_a_job_is_awaited_to_its_end_and_not_run_again_for_a_label() -> None:
    job = (
        "services:\n  init: {image: 'i:1', deploy: {mode: replicated-job}}\n"
        "  web: {image: 'w:1', depends_on: {init: {condition: service_completed_successfully}}}\n"
    )
    cluster = Cluster({"init": TaskBehaviour(exit_code=0)})
    assert "await completed_successfully of service shop_init" in cluster.text(job)
    cluster.up(job)
    assert cluster.text(job.replace("replicated-job", "replicated-job, labels: {a: b}")) == ""


def test_forced_replacement_counts_on() -> None:
    cluster = Cluster()
    cluster.up(ONE)
    cluster.up(ONE, recreate="force")
    assert cluster.services()["shop_web"].generation == 1
    assert cluster.text(ONE) == ""


def test_no_recreate_keeps_services_as_they_are() -> None:
    assert up_text(ONE, ONE.replace("nginx:1", "nginx:2"), recreate="never") == ""


def test_down_removes_users_before_what_they_use() -> None:
    cluster = Cluster()
    cluster.up(SHOP)
    assert (
        plan_text(cluster.down())
        == """\
1 remove service shop_web              asked for
2 remove service shop_db               asked for once ended 1
3 remove network shop_default          asked for after 1 2
4 remove config shop_motd-ftze3os7wcrq asked for after 1 2
"""
    )
    assert (cluster.look().services, cluster.look().networks, cluster.look().contents) == ((), (), ())


def test_the_summary_names_services() -> None:
    cluster = Cluster()
    cluster.up(ONE)
    summary = plan_summary(cluster.plan(ONE.replace("nginx:1", "nginx:2")))
    assert "± service shop_web  (replace)\n      image: nginx:1 -> nginx:2  (compose.yaml:4)" in summary
