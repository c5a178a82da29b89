"""Stacks and worlds for laws: generated, but always such that what they ask for can be had."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from stackctl import labels
from stackctl.engines.memory_world import Behaviour
from stackctl.model.container import (
    Attachment,
    ContainerSpec,
    HostNetwork,
    JoinNetworks,
    NoNetwork,
    PublishedPort,
    RestartPolicy,
    VolumeMount,
)
from stackctl.model.deploy import Deploy, UpdatePolicy
from stackctl.model.health import HealthCheckOverride
from stackctl.model.limits import Limits
from stackctl.model.network import NetworkSpec
from stackctl.model.stack import ContentUse, Dependency, Service, ShareServiceNetwork, Stack
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.action import (
    Action,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    StartContainer,
)
from stackctl.reconcile.oneoff import RunOverrides, oneoff_spec
from stackctl.reconcile.plan import Plan, Step
from tests.support.shop import NAME, Shop, image

SERVICES = ("a", "b", "c", "d")
JOBS = frozenset({"b"})
"""Services whose process ends with success; all others run on."""
NETWORKS = ("front", "back")
VOLUMES = ("data", "logs")
FOREIGN = "bystander"
_PORTS = (8080, 8081, 8082, 8083)
_CONDITIONS = ("service_started", "service_healthy")


def behaviours() -> dict[str, Behaviour]:
    """Return what the services' processes do."""
    return {name: Behaviour(exits_after_s=8) for name in JOBS}


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """A stack of up to four services. Ports and addresses are asked for once, and what is awaited happens."""
    names = draw(st.lists(st.sampled_from(SERVICES), unique=True, min_size=1).map(sorted))
    ports = draw(st.permutations(_PORTS))
    networks = {key: _network(draw, at, key) for at, key in enumerate(NETWORKS)}
    volumes = {key: VolumeSpec(name=f"{NAME}_{key}") for key in VOLUMES}
    services: dict[str, Service] = {}
    for at, name in enumerate(names):
        services[name] = _service(draw, name, services, networks, ports[at])
    return Stack(name=NAME, services=services, networks=networks, volumes=volumes)


def _network(draw: st.DrawFn, at: int, key: str) -> NetworkSpec:
    # Each has subnets of its own: an old one that nobody uses any more would keep others from them.
    subnet = draw(st.sampled_from(("", f"10.{at + 1}.0.0/24", f"10.{at + 1}.0.0/16")))
    return NetworkSpec(name=f"{NAME}_{key}", subnet=subnet, is_internal=draw(st.booleans()))


def _service(
    draw: st.DrawFn, name: str, before: Mapping[str, Service], networks: Mapping[str, NetworkSpec], port: int
) -> Service:
    is_job = name in JOBS
    replicas = draw(st.sampled_from((1, 1, 2, 3, 0)))
    fields: dict[str, Any] = {
        "name": name,
        "image": draw(st.sampled_from(("img:1", "img:2"))),
        "replicas": replicas,
        "environment": (("MODE", draw(st.sampled_from("xy"))),),
        "depends_on": tuple(_dependencies(draw, before)),
        "limits": Limits(pids=draw(st.sampled_from((0, 10, 20)))),
        "networking": _networking(draw, before, networks, replicas),
        "mounts": tuple(_mounts(draw)),
    }
    if draw(st.booleans()):
        host_ip = draw(st.sampled_from(("", "127.0.0.1")))
        fields["ports"] = (PublishedPort(container_port=80, host_first=port, host_last=port, host_ip=host_ip),)
    if replicas == 1 and draw(st.integers(0, 3)) == 0:
        fields["container_name"] = f"own-{draw(st.sampled_from(sorted({name, *before})))}"
        if fields["container_name"] in {service.container_name for service in before.values()}:
            del fields["container_name"]
    if draw(st.integers(0, 2)) == 0:
        fields["deploy"] = Deploy(update=draw(update_policies()))
    if not is_job:
        fields["restart"] = RestartPolicy(kind=draw(st.sampled_from(("no", "always"))))
        fields["healthcheck"] = draw(st.sampled_from((None, HealthCheckOverride(test=("CMD", "ok")))))
    return Service(**fields)


def update_policies() -> st.SearchStrategy[UpdatePolicy]:
    """All that ``update_config`` can say."""
    return st.builds(
        UpdatePolicy,
        parallelism=st.integers(0, 2),
        delay_s=st.sampled_from((0.0, 0.05)),
        failure_action=st.sampled_from(("pause", "continue", "rollback")),
        monitor_s=st.sampled_from((0.0, 0.05)),
        max_failure_ratio=st.sampled_from((0.0, 0.5)),
        order=st.sampled_from(("stop-first", "start-first")),
    )


def _dependencies(draw: st.DrawFn, before: Mapping[str, Service]) -> Iterator[Dependency]:
    for name in before:
        if draw(st.booleans()):
            condition = "service_completed_successfully" if name in JOBS else draw(st.sampled_from(_CONDITIONS))
            yield Dependency(
                service=name, condition=condition, restart=draw(st.booleans()), required=draw(st.integers(0, 4)) > 0
            )


def _networking(
    draw: st.DrawFn, before: Mapping[str, Service], networks: Mapping[str, NetworkSpec], replicas: int
) -> Any:
    owners = [name for name, service in before.items() if service.replicas and name not in JOBS]
    kind = draw(st.sampled_from(("join", "join", "join", "host", "none", "share")))
    if kind == "share" and owners:
        return ShareServiceNetwork(draw(st.sampled_from(owners)))
    if kind in ("host", "none"):
        return HostNetwork() if kind == "host" else NoNetwork()
    chosen = draw(st.lists(st.sampled_from(NETWORKS), unique=True, min_size=1).map(sorted))
    return JoinNetworks(tuple(_attachment(draw, networks[key], len(before), replicas) for key in chosen))


def _attachment(draw: st.DrawFn, network: NetworkSpec, at: int, replicas: int) -> Attachment:
    # Fixed addresses are far from those given out, and asked for by one service each, or exchanged between two.
    is_fixed = network.subnet and replicas == 1 and draw(st.integers(0, 2)) == 0
    address = f"{network.subnet.rpartition('.')[0]}.{200 + 2 * (at // 2) + (at + draw(st.integers(0, 1))) % 2}"
    return Attachment(network=network.name, ipv4_address=address if is_fixed else "")


def _mounts(draw: st.DrawFn) -> Iterator[VolumeMount | ContentUse]:
    for key in VOLUMES:
        if draw(st.integers(0, 2)) == 0:
            yield VolumeMount(volume=f"{NAME}_{key}", target=f"/{key}")
    if draw(st.integers(0, 3)) == 0:
        yield VolumeMount(volume="", target="/anonymous")
    if draw(st.integers(0, 3)) == 0:
        yield ContentUse(kind="config", name="motd", target="/motd")


def can_be(stack: Stack) -> bool:
    """Whether no two services ask for one address or share a name."""
    asked = [
        (attachment.network, attachment.ipv4_address)
        for service in stack.services.values()
        if isinstance(service.networking, JoinNetworks)
        for attachment in service.networking.attachments
        if attachment.ipv4_address
    ]
    return len(asked) == len(set(asked))


@dataclass(frozen=True)
class History:
    """How a world came to be: a stack was up, another was begun, some processes ended."""

    first: Stack
    second: Stack
    content: str
    seed: int
    steps: int
    exits: tuple[tuple[int, int], ...]

    def shop(self) -> Shop:
        """Make the world; the same every time."""
        shop = Shop(behaviours())
        for action in foreign_things():
            shop.engine.perform(action, never)
        perform_all(shop, plan_of(shop, self.first, "old").steps)
        plan = plan_of(shop, self.second, self.content)
        perform_all(shop, any_order(plan, self.seed)[: self.steps])
        names = [container.name for container in shop.look().containers if container.state == "running"]
        for at, code in self.exits:
            if at < len(names) and shop.containers_by_name()[names[at]].state == "running":
                shop.engine.exit(names[at], code)
        return shop


def never() -> bool:
    """Never cancelled."""
    return False


def possible_stacks() -> st.SearchStrategy[Stack]:
    """Stacks whose services do not contradict each other."""
    return stacks().filter(can_be)


def histories() -> st.SearchStrategy[History]:
    """Worlds: empty ones, whole ones, and ones in the middle of a change."""
    return st.builds(
        History,
        first=possible_stacks(),
        second=possible_stacks(),
        content=st.sampled_from(("old", "new")),
        seed=st.integers(0, 1000),
        steps=st.sampled_from((0, 1, 2, 3, 5, 8, 13, 99)),
        exits=st.lists(st.tuples(st.integers(0, 5), st.sampled_from((0, 1, 137))), max_size=2).map(tuple),
    )


def plan_of(shop: Shop, stack: Stack, content: str = "old", **policy: Any) -> Plan:
    """Return the plan of ``up`` with orphans removed: they may hold what is asked for."""
    wanted = shop.desired_of(stack, {"config/motd": content})
    return shop.plan_of(wanted, **{"remove_orphans": True, **policy})


def any_order(plan: Plan, seed: int) -> list[Step]:
    """Return the steps in one of the orders that the edges allow."""
    choice = random.Random(seed)
    waiting = {
        step.number: {*step.after, *step.soft_after, *step.while_well, *step.only_if_failed} for step in plan.steps
    }
    by_number = {step.number: step for step in plan.steps}
    found: list[Step] = []
    while waiting:
        ready = sorted(number for number, needs in waiting.items() if not needs)
        number = choice.choice(ready)
        del waiting[number]
        for needs in waiting.values():
            needs.discard(number)
        found.append(by_number[number])
    return found


def perform_all(shop: Shop, steps: Sequence[Step]) -> None:
    """Perform steps one by one, in the order given; each must succeed, and none waits for what does not come.

    What is only needed after a failure is not performed.
    """
    for step in steps:
        if step.only_if_failed:
            continue
        looks = itertools.count()
        shop.engine.perform(step.action, lambda looks=looks: next(looks) > 50)  # type: ignore[misc]


def foreign_things() -> list[Action]:
    """Return what makes things that are not the stack's: of nobody, of another stack, and a volume of each."""
    other = tuple(
        sorted(
            {
                labels.PROJECT: "other",
                labels.SERVICE: "a",
                labels.CONTAINER_NUMBER: "1",
                labels.NETWORK: "front",
                labels.VOLUME: "data",
            }.items()
        )
    )
    found: list[Action] = []
    for name, marks in ((FOREIGN, ()), ("other-a-1", other)):
        network, volume = f"{name}-net", f"{name}-vol"
        found += [
            CreateNetwork(NetworkSpec(name=network, labels=marks)),
            CreateVolume(VolumeSpec(name=volume, labels=marks)),
            CreateContainer(
                ContainerSpec(
                    name=name,
                    image_ref="img:1",
                    image_id=image("img:1").id,
                    argv=("serve",),
                    labels=marks,
                    networking=JoinNetworks((Attachment(network=network),)),
                    mounts=(VolumeMount(volume=volume, target="/v"),),
                )
            ),
            StartContainer(name),
        ]
    return found


def run_one_off(shop: Shop, stack: Stack) -> None:
    """Run a one-off of the stack's first container, if it has any, on no network."""
    wanted = shop.desired_of(stack, {"config/motd": "old"})
    for container in list(wanted.containers.values())[:1]:
        alone = replace(container.spec, networking=NoNetwork(), mounts=())
        spec = oneoff_spec(alone, NAME, "a", RunOverrides(), "law")
        shop.engine.perform(CreateContainer(spec), never)
        shop.engine.perform(StartContainer(spec.name), never)
