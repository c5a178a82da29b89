"""Whether machines of a Swarm may run a service, as far as it can be told before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.engines.swarm.placement import check_placement, wanted_tasks
from stackctl.errors import PlanError
from tests.support.cluster import Cluster


def node(name: str, *, role: str = "worker", labels: dict[str, str] | None = None, **spec: str) -> dict[str, Any]:
    """Return a machine with two processors and 1 GiB."""
    return {
        "ID": f"id-{name}",
        "Spec": {"Role": role, "Availability": "active", "Labels": labels or {}, **spec},
        "Description": {
            "Hostname": name,
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 1 << 30},
        },
        "Status": {"State": "ready"},
    }


NODES = [node("one", role="manager"), node("two", labels={"disk": "SSD"}), node("off", Availability="drain")]


def why_not(deploy: str) -> str:
    wanted = Cluster().desired(f"services:\n  web: {{image: i, deploy: {{{deploy}}}}}\n")
    try:
        check_placement(wanted, NODES, ["web"])
    except PlanError as error:
        assert error.code == "placement-impossible"
        assert [place.line for place in error.diagnostics[0].sources] == [3]
        return error.diagnostics[0].detail.removeprefix("service web: ")
    return ""


@pytest.mark.parametrize(
    "deploy",
    [
        "replicas: 5",
        "placement: {constraints: ['node.role==manager']}",
        "placement: {constraints: ['node.role != manager', 'node.labels.disk == ssd']}",
        "placement: {constraints: ['node.hostname==TWO', 'node.platform.arch==amd64', 'node.platform.os==linux']}",
        "placement: {constraints: ['node.ip==10.0.0.1']}",
        "replicas: 2, placement: {max_replicas_per_node: 1}",
        "resources: {reservations: {cpus: '2', memory: 1g}}",
        "replicas: 0, placement: {constraints: ['node.role==none']}",
    ],
)
def test_what_a_machine_can_run_passes(deploy: str) -> None:
    assert why_not(deploy) == ""


@pytest.mark.parametrize(
    ("deploy", "why"),
    [
        ("placement: {constraints: ['node.id==nobody']}", "none of 2 machines fulfils node.id==nobody."),
        (
            "placement: {constraints: ['node.role==manager', 'node.labels.disk==ssd']}",
            "none of 2 machines fulfils node.labels.disk==ssd besides the constraints before it.",
        ),
        ("placement: {constraints: ['node.hostname==off']}", "none of 2 machines fulfils node.hostname==off."),
        ("resources: {reservations: {memory: 2g}}", "none of 2 machines is as large as what it reserves."),
        (
            "replicas: 3, placement: {max_replicas_per_node: 1}",
            "3 replicas do not fit on 2 machines with at most 1 each.",
        ),
    ],
)
def test_what_no_machine_can_run_is_told_with_its_line(deploy: str, why: str) -> None:
    assert why_not(deploy) == why


def test_a_global_service_wants_a_task_on_each_machine_that_may_run_it() -> None:
    wanted = Cluster().desired(
        "services:\n  all: {image: i, deploy: {mode: global}}\n  two: {image: i, deploy: {replicas: 2}}\n"
        "  some: {image: i, deploy: {mode: global, placement: {constraints: ['node.role==worker']}}}\n"
    )
    assert {key.name: wanted_tasks(spec, NODES) for key, spec in wanted.services.items()} == {
        "all": 2, "some": 1, "two": 2,
    }  # fmt: skip
