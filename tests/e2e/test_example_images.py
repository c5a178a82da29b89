"""The examples that bring images in: their scripts make them of this machine, and their stacks answer."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import Engine
from tests.support.stack import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def made(engine: Engine, example: str, tar: Path, port: int) -> Iterator[dict[str, str]]:
    """Run the example's Makefile on an engine; yield the environment of it. Take it down afterwards."""
    variables = engine.variables({f"{example.upper()}_PORT": str(port)})
    folder = EXAMPLES / example
    argv = ["make", "-s", "-C", str(folder), f"STACKCTL={Path(sys.executable).with_name('stackctl')}"]
    argv += [f"PYTHON={sys.executable}", f"TAR={tar}"]
    try:
        done = subprocess.run([*argv, "up"], env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield variables
    finally:
        done = subprocess.run([*argv, "down"], env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_the_imported_image_serves_the_page_that_its_other_service_wrote(resident: Engine, tmp_path: Path) -> None:
    port = free_port()
    with made(resident, "imported", tmp_path / "root.tar", port):
        assert fetch(port) == f"Written by Python {platform.python_version()} in an imported image.\n"
    assert not (tmp_path / "root.tar").exists()


def test_the_loaded_image_runs_as_its_configuration_says_in_two_replicas(resident: Engine, tmp_path: Path) -> None:
    port = free_port()
    with made(resident, "loaded", tmp_path / "image.tar", port):
        answers = [fetch(port) for _ in range(2)]
        rows = resident.run("-f", str(EXAMPLES / "loaded/compose.yaml"), "ps", "--format", "json").rows()
    assert all(answer.startswith("Hello from a loaded image, visit 1 of ") for answer in answers)
    assert all(answer.endswith(", user 1000\n") for answer in answers)
    assert answers[0] != answers[1]
    assert [row["Health"] for row in rows] == ["healthy", "healthy"]
    assert "example/counter" not in resident.run("image", "ls").out
    assert not os.path.exists(tmp_path / "image.tar")
