"""What every action on services means, on every engine of that grain. Written against ``reconcile.service_action``."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stackctl import labels
from stackctl.client.dialers import UnixDialer
from stackctl.client.docker_api import DockerApi
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.memory_services import MemoryServiceEngine, TaskBehaviour
from stackctl.engines.swarm.api import SwarmApi
from stackctl.engines.swarm.engine import SwarmEngine
from stackctl.errors import Conflict, ContainerError, NotFound
from stackctl.model.container import Attachment
from stackctl.model.deploy import RestartRule, UpdatePolicy
from stackctl.model.fingerprint import fingerprint
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedService
from stackctl.model.service import ContentSpec, ServiceSpec, TaskContent
from stackctl.reconcile.action import Action, CreateNetwork, RemoveNetwork
from stackctl.reconcile.engine import Engine, ResourceNames
from stackctl.reconcile.service_action import (
    AwaitService,
    CreateContent,
    CreateService,
    RemoveContent,
    RemoveService,
    UpdateService,
)

IMAGE = "busybox:latest"
OTHER_ID = "f" * 25
NO_COMMAND = ("nonesuch",)
PATIENCE_S = 60.0


@dataclass
class Bench:
    """An engine, and a stack of the test's own on it; ``known`` is the fingerprint of a content that was sent along."""

    engine: Engine
    known: str
    stack: str

    def service(self, text: str, *command: str, **fields: Any) -> ServiceSpec:
        """Return a specification; ``command`` is what the script of the memory engine knows."""
        marks = ((labels.PROJECT, self.stack), (labels.SERVICE, text))
        spec = ServiceSpec(
            name=f"{self.stack}_{text}", image_ref=IMAGE, image=IMAGE, command=command or ("sleep", "1000"),
            labels=marks, stop_grace_s=0.0, init=True, restart=RestartRule(condition="none"),
            update=UpdatePolicy(monitor_s=0.1, order="start-first"),
        )  # fmt: skip
        return replace(spec, **fields)

    def network(self) -> NetworkSpec:
        """Return the specification of a network."""
        marks = ((labels.NETWORK, "net"), (labels.PROJECT, self.stack))
        return NetworkSpec(name=f"{self.stack}_net", driver="overlay", labels=marks)

    def config(self, **fields: Any) -> ContentSpec:
        """Return the specification of a config."""
        marks = ((labels.PROJECT, self.stack), (labels.CONTENT, "motd"))
        spec = ContentSpec(kind="config", name=f"{self.stack}_motd", fingerprint=self.known, labels=marks)
        return replace(spec, **fields)

    def do(self, *actions: Action) -> None:
        """Perform actions, one after the other."""
        for action in actions:
            self.engine.perform(action, lambda: False)

    def look(self) -> Observed:
        """Return what there is of the stack."""
        return self.engine.snapshot(self.stack, ResourceNames())

    def one(self, text: str) -> ObservedService:
        """Return a service of the stack."""
        (found,) = [service for service in self.look().services if service.name == f"{self.stack}_{text}"]
        return found

    def settled(self, spec: ServiceSpec) -> AwaitService:
        """Return the wait until a service is as wanted."""
        return AwaitService(spec.name, "service_healthy", PATIENCE_S)

    def clear(self) -> None:
        """Remove everything of the stack."""
        found = self.look()
        self.do(*(RemoveService(service.name, service.id) for service in found.services))
        self.do(*(RemoveNetwork(network.name, network.id) for network in found.networks))
        self.do(*(RemoveContent(content.kind, content.name, content.id) for content in found.contents))


def _behaviour(spec: ServiceSpec) -> TaskBehaviour:
    """The script of the memory engine: what busybox would do."""
    match spec.command:
        case ("sleep", _):
            return TaskBehaviour()
        case ("true",):
            return TaskBehaviour(exit_code=0)
        case _:
            return TaskBehaviour(start_error=f"exec: {spec.command[0]}: executable file not found")


@pytest.fixture(scope="module", params=["memory", "swarm"])
def service_engine(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, str]]:
    """Each engine in turn, with the image ``busybox:latest``, and the fingerprint of a content that it has."""
    if request.param == "memory":
        memory = MemoryServiceEngine(behaviour_of=_behaviour)
        memory.contents["c" * 64] = b"hello\n"
        yield memory, "c" * 64
        return
    host = request.getfixturevalue("swarm_host")
    contents = SentContents("cluster")
    contents.store({"config/motd": b"hello\n"})
    known = contents.fingerprints({"config/motd": b"hello\n"})["config/motd"]
    yield SwarmEngine(SwarmApi(DockerApi(UnixDialer(str(host.socket)))), contents), known


@pytest.fixture
def bench(service_engine: tuple[Engine, str], request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A stack of the test's own on each engine in turn."""
    engine, known = service_engine
    own = Bench(engine, known, f"t{zlib.crc32(request.node.nodeid.encode()):08x}")
    try:
        yield own
    finally:
        own.clear()


def refused(bench: Bench, action: Action, kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as caught:
        bench.do(action)
    assert caught.value.code == code


def test_a_config_is_made_once_and_kept_while_it_is_used(bench: Bench) -> None:
    bench.do(CreateContent(bench.config()), CreateContent(bench.config()))
    (config,) = bench.look().contents
    refused(bench, CreateContent(bench.config(fingerprint="d" * 64)), Conflict, "content-differs")
    refused(bench, CreateContent(bench.config(name="other", fingerprint="d" * 64)), NotFound, "content-missing")
    use = TaskContent(kind="config", name=config.name, target="/motd")
    bench.do(CreateService(bench.service("web", contents=(use,), replicas=0)))
    assert bench.one("web").spec.contents == (use,)
    remove = RemoveContent("config", config.name, config.id)
    refused(bench, remove, Conflict, "config-in-use")
    bench.do(RemoveService(bench.one("web").name, ""), remove, remove)
    assert bench.look().contents == ()


def test_a_network_is_not_removed_from_under_services(bench: Bench) -> None:
    bench.do(CreateNetwork(bench.network()), CreateNetwork(bench.network()))
    place = Attachment(network=bench.network().name, aliases=("web",))
    web = bench.service("web", networks=(place,), replicas=0)
    bench.do(CreateService(web))
    (network,) = bench.look().networks
    assert (network.containers, str(network.key)) == ((web.name,), "network/net")
    refused(bench, CreateNetwork(replace(bench.network(), is_internal=True)), Conflict, "network-differs")
    refused(bench, RemoveNetwork(network.name, OTHER_ID), Conflict, "network-changed")
    remove = RemoveNetwork(network.name, network.id)
    refused(bench, remove, Conflict, "network-in-use")
    bench.do(RemoveService(web.name, bench.one("web").id), remove, remove)
    assert bench.look().networks == ()


def test_a_service_is_made_once_runs_and_is_removed_once(bench: Bench) -> None:
    web = bench.service("web", env=("A=1",), replicas=2)
    bench.do(CreateService(web), bench.settled(web), CreateService(web))
    found = bench.one("web")
    assert (found.spec, str(found.key), found.running, found.wanted) == (web, "service/web", 2, 2)
    refused(bench, CreateService(replace(web, env=())), Conflict, "service-name-taken")
    refused(bench, RemoveService(web.name, OTHER_ID), Conflict, "service-changed")
    bench.do(RemoveService(web.name, found.id), RemoveService(web.name, found.id))
    assert bench.look().services == ()


def test_a_service_on_nothing_is_refused(bench: Bench) -> None:
    nowhere = bench.service("web", networks=(Attachment(network="nowhere"),))
    refused(bench, CreateService(nowhere), NotFound, "no-such-network")
    without = bench.service("web", contents=(TaskContent(kind="secret", name="none", target="/x"),))
    refused(bench, CreateService(without), NotFound, "no-such-secret")
    assert bench.look().services == ()


def test_an_update_is_made_once_and_only_of_what_the_plan_saw(bench: Bench) -> None:
    web = bench.service("web")
    bench.do(CreateService(web), bench.settled(web))
    first = bench.one("web")
    changed = replace(web, env=("A=1",), replicas=2)
    update = UpdateService(changed, first.id, fingerprint(first.spec))
    bench.do(update, update, bench.settled(web))
    found = bench.one("web")
    assert (found.spec, found.update) == (changed, "completed")
    assert found.running >= 2, "a predecessor may still be ending"
    stale = UpdateService(replace(web, user="1"), first.id, fingerprint(first.spec))
    refused(bench, stale, Conflict, "service-changed")
    refused(bench, UpdateService(changed, OTHER_ID, ""), Conflict, "service-changed")
    refused(bench, replace(update, spec=replace(changed, name="none")), NotFound, "no-such-service")


def test_the_mode_of_a_service_does_not_change(bench: Bench) -> None:
    web = bench.service("web", replicas=0)
    bench.do(CreateService(web))
    found = bench.one("web")
    update = UpdateService(replace(web, mode="global", replicas=0), found.id, fingerprint(found.spec))
    refused(bench, update, Conflict, "service-mode")


def test_a_wait_says_what_tasks_reported(bench: Bench) -> None:
    web = bench.service("web", *NO_COMMAND, init=False)
    bench.do(CreateService(web))
    with pytest.raises(ContainerError, match="executable file not found") as caught:
        bench.do(bench.settled(web))
    assert caught.value.code == "service-not-converged"


def test_a_failed_update_is_sent_back(bench: Bench) -> None:
    web = bench.service("web")
    bench.do(CreateService(web), bench.settled(web))
    found = bench.one("web")
    broken = replace(web, command=NO_COMMAND, init=False)
    bench.do(UpdateService(broken, found.id, fingerprint(found.spec)))
    with pytest.raises(ContainerError, match="executable file not found"):
        bench.do(replace(bench.settled(web), rollback=web))
    bench.do(bench.settled(web))
    assert bench.one("web").spec == web


def test_a_job_is_awaited_to_its_end(bench: Bench) -> None:
    job = bench.service("job", "true", mode="replicated-job", restart=RestartRule(condition="none"))
    bench.do(CreateService(job), AwaitService(job.name, "service_completed_successfully", PATIENCE_S))
    assert bench.one("job").completed == 1
