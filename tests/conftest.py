"""What every test shares: the machine's privileges, and a detector of whatever a test leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_host import DockerHost, running_docker, running_swarm
from tests.support.engine import Engine
from tests.support.images import busybox_image, docker_save_archive
from tests.support.init import go_on_below_an_init
from tests.support.leaks import Leaks

BUSYBOX = "/bin/busybox"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def pytest_configure() -> None:
    """Make sure that somebody reaps orphans."""
    go_on_below_an_init()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying why, what this machine cannot do."""
    for item in items:
        is_integration = any(part in item.nodeid for part in ("tests/integration/", "tests/e2e/", "tests/faults/"))
        if is_integration and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes namespaces, mounts and networks"))


@pytest.fixture(scope="session", autouse=True)
def _machine_forwards() -> Iterator[None]:
    """IP forwarding is on from the start, so that no engine tells, in the middle of a test, that it switched it on."""
    if os.geteuid() != 0:
        yield
        return
    before = _FORWARDING.read_text()
    _FORWARDING.write_text("1")
    yield
    _FORWARDING.write_text(before)


_MAKES_THINGS = ("tests/integration/", "tests/e2e/", "tests/faults/", "tests/engines/")


@pytest.fixture(autouse=True)
def _leaks_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that makes things, the machine is as before: mounts, links, rules, cgroups, processes, files."""
    if request.node.get_closest_marker("changes_shared_engine"):
        yield
    else:
        yield from _unchanged(request)


@pytest.fixture(autouse=True, scope="module")
def _module_leaks_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same for what all tests of a module share."""
    yield from _unchanged(request)


def _unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    if not any(part in request.node.nodeid for part in _MAKES_THINGS):
        yield
        return
    before = Leaks.look()
    yield
    left = before.wait_until_gone()
    assert not left, "the test left behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def busybox() -> Path:
    """A static busybox, from which test images are made."""
    if not os.access(BUSYBOX, os.X_OK):
        pytest.fail("these tests make their images from /bin/busybox: apt install busybox-static")
    return Path(BUSYBOX)


@pytest.fixture(scope="session")
def busybox_archive(busybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, as docker save writes it, of the image ``busybox:latest``."""
    assert busybox
    return docker_save_archive(tmp_path_factory.mktemp("images") / "busybox.tar", busybox_image())


@pytest.fixture
def engine(tmp_path: Path, busybox_archive: Path) -> Iterator[Engine]:
    """An engine of this test's own, with the image ``busybox:latest``."""
    own = Engine(tmp_path / "engine")
    try:
        own.run("image", "load", "-i", str(busybox_archive))
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[Engine]:
    """One engine for all tests of a module, with the image ``busybox:latest``: for tests that use different stacks."""
    own = Engine(tmp_path_factory.mktemp("engine"))
    try:
        own.run("image", "load", "-i", str(busybox_archive))
        own.run_once(tmp_path_factory.mktemp("first"))
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="module")
def docker_host(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[DockerHost]:
    """A Docker Engine for all tests of a module, with the image ``busybox:latest``."""
    with running_docker(tmp_path_factory.mktemp("docker")) as host:
        host.load(busybox_archive)
        yield host


@pytest.fixture(scope="module")
def swarm_host(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[DockerHost]:
    """A Swarm of one machine for all tests of a module, with the image ``busybox:latest``."""
    with running_swarm(tmp_path_factory.mktemp("swarm")) as host:
        host.load(busybox_archive)
        yield host
