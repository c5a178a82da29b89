"""What the network tests share: a laboratory of namespaces, and an engine that lives in one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackctl.runtime.kernel.netns import in_netns, make_netns
from tests.support.net_lab import Lab as Lab
from tests.support.town import Town as Town
from tests.support.town import town_in


@pytest.fixture
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    host = make_netns()
    try:
        with in_netns(host), ExitStack() as stack:
            yield Lab(stack)
    finally:
        os.close(host)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[Town]:
    """An engine in a host of its own; the module's tests run in that host's namespace."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with town_in(tmp_path_factory.mktemp("town"), busybox_archive) as town:
        yield town


@pytest.fixture
def own_town(tmp_path: Path, busybox_archive: Path) -> Iterator[Town]:
    """The same for one test alone, which may do to the engine what it likes."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with town_in(tmp_path, busybox_archive) as town:
        yield town
