"""An image store of the test's own, and a look at what is on its disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.images.store import ImageStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def store(root: Path) -> Iterator[ImageStore]:
    opened = ImageStore(str(root))
    yield opened
    opened.close()
