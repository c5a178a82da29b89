"""What `deploy:` says to an engine of several machines, from the text to the value the planner sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stackctl.model.deploy import (
    Deploy,
    LogDriver,
    Placement,
    Reservations,
    RestartRule,
    ServicePort,
    UpdatePolicy,
)
from stackctl.model.stack import ContentSource
from tests.support.stacks import loaded, service, stack_of

_UPDATE = (
    "{parallelism: 0, delay: 10s, failure_action: rollback, monitor: 1m, max_failure_ratio: 0.25, order: start-first}"
)
_POLICY = UpdatePolicy(
    parallelism=0, delay_s=10, failure_action="rollback", monitor_s=60, max_failure_ratio=0.25, order="start-first"
)
_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("image: nginx", {}),
    "global": ("deploy: {mode: global}", {"mode": "global"}),
    "a job": ("deploy: {mode: replicated-job}", {"mode": "replicated-job"}),
    "endpoint_mode": ("deploy: {endpoint_mode: dnsrr}", {"endpoint_mode": "dnsrr"}),
    "labels": ("deploy: {labels: [b=2, a=1]}", {"labels": (("a", "1"), ("b", "2"))}),
    "update_config": (f"deploy: {{update_config: {_UPDATE}}}", {"update": _POLICY}),
    "rollback_config": ("deploy: {rollback_config: {parallelism: 2}}", {"rollback": UpdatePolicy(parallelism=2)}),
    "placement": (
        "deploy: {placement: {constraints: [node.role==manager], preferences: [spread: node.labels.zone], "
        "max_replicas_per_node: 2}}",
        {"placement": Placement(constraints=("node.role==manager",), spread=("node.labels.zone",), max_per_node=2)},
    ),
    "reservations": (
        "deploy: {resources: {reservations: {cpus: '0.5', memory: 10m, generic_resources: "
        "[{discrete_resource_spec: {kind: gpu, value: 2}}]}}}",
        {"reservations": Reservations(nano_cpus=500_000_000, memory_bytes=10 * 1024 * 1024, generic=(("gpu", 2),))},
    ),
    "restart_policy before restart": (
        "restart: always\ndeploy: {restart_policy: {condition: on-failure, delay: 2s, max_attempts: 3, window: 1m}}",
        {"restart": RestartRule(condition="on-failure", delay_s=2, max_attempts=3, window_s=60)},
    ),
    "restart no is none": ("restart: 'no'", {"restart": RestartRule(condition="none")}),
    "restart on-failure": ("restart: on-failure:4", {"restart": RestartRule(condition="on-failure", max_attempts=4)}),
    "ports in both modes": (
        "ports: ['8080:80/udp', {target: 81, published: '8081', mode: host}]",
        {
            "ports": (
                ServicePort(target=80, published=8080, protocol="udp"),
                ServicePort(target=81, published=8081, mode="host"),
            )
        },
    ),
    "logging": (
        "logging: {driver: journald, options: {tag: web}}",
        {"log": LogDriver(name="journald", options=(("tag", "web"),))},
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_deploy_is_read(name: str) -> None:
    text, fields = _CASES[name]
    assert service(text).deploy == replace(Deploy(), **fields)


def test_contents_keep_their_own_names() -> None:
    text = (
        "services:\n  web: {image: i, configs: [motd], secrets: [key]}\n"
        "configs: {motd: {content: hello, name: greeting}}\nsecrets: {key: {environment: KEY}}\nname: shop\n"
    )
    stack = stack_of(loaded(text, env={"KEY": "k"}))
    assert dict(stack.contents) == {
        "config/motd": ContentSource(kind="config", name="greeting"),
        "secret/key": ContentSource(kind="secret", name="shop_key"),
    }
