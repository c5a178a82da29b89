"""Clients that are not ours, on engines that a module's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import docker as docker_py
import pytest

from tests.support.docker_cli import Docker, docker_of
from tests.support.engine import Engine


@pytest.fixture(scope="module")
def docker(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Docker:
    """Docker's command line, talking to the module's engine."""
    return docker_of(shared_engine, tmp_path_factory.mktemp("docker") / "home")


@pytest.fixture
def client(shared_engine: Engine) -> Iterator[docker_py.DockerClient]:
    """docker-py, talking to the module's engine."""
    made = docker_py.DockerClient(base_url=str(shared_engine.status()["api"]))
    try:
        yield made
    finally:
        made.close()
