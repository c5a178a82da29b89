"""What every test shares: the machine's privileges, and a detector of whatever a test leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import Leaks

BUSYBOX = "/bin/busybox"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying why, what this machine cannot do."""
    for item in items:
        is_integration = any(part in item.nodeid for part in ("tests/integration/", "tests/e2e/", "tests/faults/"))
        if is_integration and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes namespaces, mounts and networks"))


@pytest.fixture(autouse=True)
def _leaks_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each integration test the machine is as it was before: mounts, links, rules, cgroups, processes, files."""
    if not any(part in request.node.nodeid for part in ("/integration/", "/e2e/", "/faults/", "/engines/")):
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
