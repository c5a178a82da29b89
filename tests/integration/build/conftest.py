"""One engine for the builds of a module; each test has a context of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds import Builds, builds_on
from tests.support.engine import Engine


@pytest.fixture
def builds(shared_engine: Engine, tmp_path: Path) -> Iterator[Builds]:
    with builds_on(shared_engine, tmp_path / "context") as found:
        yield found
