"""The same bench for every engine: what a test does on it must come out the same."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stackctl import labels
from stackctl.client.address import parse_engine
from stackctl.client.docker_api import DockerApi
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.docker.engine import DockerEngine
from stackctl.engines.docker.hosting import engine_id_of
from stackctl.engines.local import LocalEngine
from stackctl.engines.memory import MemoryEngine
from stackctl.engines.memory_world import Behaviour
from stackctl.errors import ContainerError
from stackctl.images.store import ImageStore
from stackctl.model.container import Attachment, ContainerSpec, JoinNetworks, VolumeMount
from stackctl.model.health import HealthCheck
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.volume import VolumeSpec
from stackctl.reconcile.action import (
    Action,
    CreateContainer,
    CreateNetwork,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    StartContainer,
    StopContainer,
)
from stackctl.reconcile.engine import Engine, ImageRequest, ResourceNames
from stackctl.runtime.paths import find_engine
from stackctl.runtime.supervisor_client import SupervisorClient

IMAGE = "busybox:latest"
FOREVER = ("sleep", "1000")
ON_TERM_EXIT_7 = ("sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait")


@dataclass
class Bench:
    """An engine, and a stack of the test's own on it: everything made here carries its label."""

    engine: Engine
    image: ResolvedImage
    stack: str

    def name(self, text: str) -> str:
        """Return a real name of the stack's."""
        return f"{self.stack}-{text}"

    def marks(self, **more: str) -> tuple[tuple[str, str], ...]:
        """Return the labels of the stack's things."""
        return tuple(sorted({labels.PROJECT: self.stack, **more}.items()))

    def container(self, text: str, *argv: str, networks: tuple[str, ...] = (), **fields: Any) -> ContainerSpec:
        """Return a specification; ``argv`` is what the script of the memory engine knows."""
        spec = ContainerSpec(
            name=self.name(text), image_ref=IMAGE, image_id=self.image.id, argv=argv or FOREVER, labels=self.marks()
        )
        if networks:
            attachments = tuple(Attachment(network=self.name(network)) for network in networks)
            spec = replace(spec, networking=JoinNetworks(attachments))
        return replace(spec, **fields)

    def network(self, text: str, **fields: Any) -> NetworkSpec:
        """Return the specification of a network."""
        return NetworkSpec(name=self.name(text), labels=self.marks(), **fields)

    def volume(self, text: str, **fields: Any) -> VolumeSpec:
        """Return the specification of a volume."""
        return VolumeSpec(name=self.name(text), labels=self.marks(), **fields)

    def mount(self, text: str) -> VolumeMount:
        """Return a mount of one of the stack's volumes."""
        return VolumeMount(volume=self.name(text), target="/data")

    def do(self, *actions: Action) -> None:
        """Perform actions, one after the other."""
        for action in actions:
            self.engine.perform(action, lambda: False)

    def run(self, text: str, *argv: str, **fields: Any) -> ObservedContainer:
        """Create and start a container, and return it."""
        spec = self.container(text, *argv, **fields)
        self.do(CreateContainer(spec), StartContainer(spec.name))
        return self.one(text)

    def look(self) -> Observed:
        """Return what there is of the stack."""
        return self.engine.snapshot(self.stack, ResourceNames())

    def one(self, text: str) -> ObservedContainer:
        """Return a container of the stack."""
        (found,) = [container for container in self.look().containers if container.name == self.name(text)]
        return found

    def containers(self) -> list[str]:
        """Return the names of the stack's containers, without the stack's own."""
        return [container.name.removeprefix(f"{self.stack}-") for container in self.look().containers]

    def clear(self) -> None:
        """Remove everything of the stack."""
        found = self.look()
        for container in found.containers:
            self.do(StopContainer(container.name, container.id, 0), RemoveContainer(container.name, container.id))
        self.do(*(RemoveNetwork(network.name, network.id) for network in found.networks))
        self.do(*(RemoveVolume(volume.name) for volume in found.volumes))


def _behaviour(spec: ContainerSpec) -> Behaviour:
    """The script of the memory engine: what busybox would do."""
    is_healthy = spec.health is None or spec.health.test == ("CMD", "true")
    health: dict[str, Any] = {} if is_healthy else {"healthy_after_s": None, "unhealthy_after_s": 0.3}
    match spec.argv:
        case ("sleep", seconds):
            end = None if float(seconds) >= 1000 else float(seconds)
            return Behaviour(exits_after_s=end, stops_after_s=float("inf"), **health)
        case ("sh", "-c", text) if text.startswith("exit "):
            return Behaviour(exits_after_s=0, exit_code=int(text.split()[1]), **health)
        case argv if argv == ON_TERM_EXIT_7:
            return Behaviour(stop_code=7, **health)
        case _:
            return Behaviour(start_error=ContainerError("not in the image", code="command-not-found"))


def docker_engine(url: str) -> DockerEngine:
    """Return what drives the Docker Engine at ``url``."""
    dialer: Any = parse_engine(url, {}).dialer
    api = DockerApi(replace(dialer, prefix="/v1.41"))
    info = api.ask("GET", "/info")
    return DockerEngine(api, info, SentContents(engine_id_of(info)))


@pytest.fixture(scope="module", params=["memory", "local", "docker"])
def any_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, with the image ``busybox:latest``."""
    if request.param == "memory":
        image = ResolvedImage("sha256:" + "b" * 64, ImageConfig(cmd=("sh",)))
        yield MemoryEngine({IMAGE: image}, behaviour_of=_behaviour)
        return
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces, mounts and networks")
    if request.param == "docker":
        docker = docker_engine(request.getfixturevalue("docker_host").url)
        _warm_up(docker)
        yield docker
        return
    own = request.getfixturevalue("shared_engine")
    paths = find_engine(str(own.root))
    assert paths is not None
    client, store = SupervisorClient(paths.supervisor_socket), ImageStore(paths.root)
    engine = LocalEngine(paths, client, store)
    _warm_up(engine)
    yield engine
    client.close()
    store.close()


def _warm_up(engine: Engine) -> None:
    """Have it make what it makes once and keeps: that is no leak of the test that comes first."""
    warm = Bench(engine, _image(engine), "warm")
    warm.do(CreateNetwork(warm.network("net")))
    warm.run("up", networks=("net",))
    warm.clear()


# What an engine does otherwise, and docs/engines.md tells: it would be news if it no longer did.
_DIFFERENCES = {
    "docker": {
        "test_one_that_replaces_another_stands_by_until_it_is_given_the_traffic": "traffic goes to all that run",
        "test_replicas_share_a_host_port": "each host port is one container's",
        "test_a_fixed_address_is_spared_for_one_that_does_not_run_yet": "addresses are given out as they come",
    }
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect each engine to differ where it is known to, and nowhere else."""
    for item in items:
        name, _, engine = item.name.removesuffix("]").partition("[")
        reason = _DIFFERENCES.get(engine.partition("-")[0], {}).get(name)
        if reason:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture
def bench(any_engine: Engine, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A stack of the test's own on each engine in turn."""
    number = zlib.crc32(request.node.nodeid.encode())
    own = Bench(any_engine, _image(any_engine), f"t{number:08x}")
    try:
        yield own
    finally:
        own.clear()


def _image(engine: Engine) -> ResolvedImage:
    request = ImageRequest(IMAGE)
    return engine.resolve([request])[request]


def check(*test: str) -> HealthCheck:
    """Return a health check that comes to its result in a moment."""
    return HealthCheck(test=("CMD", *test), interval_s=0.1, retries=1)
