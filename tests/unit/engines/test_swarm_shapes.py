"""Services as the Engine API has them: what is written is read back the same, and defaults on either side are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackctl import labels
from stackctl.engines.swarm.read import observed_network, observed_service, service_spec
from stackctl.engines.swarm.write import network_body, service_body
from stackctl.model.network import NetworkSpec
from stackctl.model.service import ServiceSpec
from tests.support.cluster import Cluster

_GOLDEN = Path(__file__).parents[2] / "golden" / "swarm"
_STACKS = sorted(path.stem for path in _GOLDEN.glob("*.yaml"))
_NO_NETWORKS: dict[str, str] = {}


def written(name: str) -> dict[str, ServiceSpec]:
    """Return the services that a golden stack file asks for."""
    text = (_GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")
    return {key.name: spec for key, spec in Cluster().desired(text, env={"TOKEN": "t"}).services.items()}


def body(spec: ServiceSpec) -> dict[str, Any]:
    """Return what is sent for a service; the id of a config or secret is its name with ``id-`` before it."""
    return service_body(spec, {(use.kind, use.name): f"id-{use.name}" for use in spec.contents})


@pytest.mark.parametrize("name", _STACKS)
def test_a_service_is_sent_as_recorded(name: str) -> None:
    sent = {service: body(spec) for service, spec in written(name).items()}
    path = _GOLDEN / f"{name}.json"
    assert sent == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", _STACKS)
def test_what_is_sent_is_read_back_the_same(name: str) -> None:
    for spec in written(name).values():
        assert service_spec(body(spec), _NO_NETWORKS) == spec


def _without_defaults(shape: Any) -> Any:
    """Return a shape as an engine tells it: what is empty is left out."""
    if isinstance(shape, dict):
        found = {key: value if key == "Labels" else _without_defaults(value) for key, value in shape.items()}
        return {key: value for key, value in found.items() if value not in ({}, [], "", 0, False, None)}
    return [_without_defaults(item) for item in shape] if isinstance(shape, list) else shape


@pytest.mark.parametrize("name", _STACKS)
def test_what_an_engine_leaves_out_counts_as_its_default(name: str) -> None:
    for spec in written(name).values():
        shape = _without_defaults(body(spec))
        # These mean something else when they are missing; an engine tells them.
        shape["TaskTemplate"].setdefault("RestartPolicy", {})["Delay"] = round(spec.restart.delay_s * 1e9)
        shape["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = round(spec.stop_grace_s * 1e9)
        shape["Mode"] = body(spec)["Mode"]
        for key, policy in (("UpdateConfig", spec.update), ("RollbackConfig", spec.rollback)):
            shape.setdefault(key, {})["Parallelism"] = policy.parallelism
        assert service_spec(shape, _NO_NETWORKS) == spec


def test_the_least_that_an_engine_tells_is_a_service_of_defaults() -> None:
    shape = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}}
    assert service_spec(shape, _NO_NETWORKS) == ServiceSpec(name="web", image_ref="nginx:1", image="nginx:1")


def test_a_service_of_docker_stack_deploy_belongs_to_its_stack() -> None:
    marks = {"com.docker.stack.namespace": "shop", "com.docker.stack.image": "nginx:1"}
    image = "nginx:1@sha256:" + "a" * 64
    spec = {"Name": "shop_web", "Labels": marks, "TaskTemplate": {"ContainerSpec": {"Image": image, "Labels": marks}}}
    found = observed_service({"ID": "x", "Spec": spec}, _NO_NETWORKS)
    assert (str(found.key), found.label(labels.PROJECT)) == ("service/web", "shop")
    assert (found.spec.image_ref, found.spec.image) == ("nginx:1", image)


def test_networks_are_told_by_their_names() -> None:
    shape = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "i"}, "Networks": [{"Target": "id1"}]}}
    assert [at.network for at in service_spec(shape, {"id1": "shop_default"}).networks] == ["shop_default"]


def test_a_network_is_read_back_the_same() -> None:
    spec = NetworkSpec(
        name="shop_net", driver="overlay", is_attachable=True, is_internal=True, subnet="10.9.0.0/24",
        gateway="10.9.0.1", labels=((labels.NETWORK, "net"), (labels.PROJECT, "shop")),
    )  # fmt: skip
    found = observed_network({"Id": "x", **network_body(spec)}, ("shop_web",))
    assert (found.spec, str(found.key), found.containers) == (spec, "network/net", ("shop_web",))
