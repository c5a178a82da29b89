"""One engine for all tests here, and stacks on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.leaks import Leaks
from tests.support.stack import Stack, stack_in

_FIRST = "services: {it: {image: busybox, command: 'true'}}"


@pytest.fixture(scope="package")
def resident(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[Engine]:
    """The engine all tests of this folder share, with the image ``busybox:latest``; it leaves nothing behind."""
    before = Leaks.look()
    own = Engine(tmp_path_factory.mktemp("engine"))
    try:
        own.run("image", "load", "-i", str(busybox_archive))
        # What an engine makes with its first container stays as long as the engine does: no test is to be blamed.
        own.run("-p", "first", "-f", "-", "run", "--rm", "it", stdin=_FIRST)
        own.run("-p", "first", "down")
        yield own
    finally:
        own.stop()
    assert not (left := before.wait_until_gone()), "the engine left behind:\n" + "\n".join(left)


@pytest.fixture
def stack(request: pytest.FixtureRequest, resident: Engine, tmp_path: Path) -> Iterator[Stack]:
    """A stack of this test's own, not written yet; it is taken down with its volumes."""
    with stack_in(resident, tmp_path / "stack", _name_of(request)) as own:
        yield own


def _name_of(request: pytest.FixtureRequest) -> str:
    words = request.node.name.partition("[")[0].removeprefix("test_").split("_")
    return "-".join(words)[:30].rstrip("-")
