"""Commands run in this process, in a folder of their own, without an engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stackctl.cli.main import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder named shop, as the current one, and an environment without surprises."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", "/home/me")
    for name in list(os.environ):
        if name.startswith(("COMPOSE_", "STACKCTL_", "NO_COLOR", "DOCKER_")):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def call(shop: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command; return exit status, standard output, standard error. No engine can be had."""
    assert shop.is_dir()
    start = ModuleType("stackctl.engines.start")
    monkeypatch.setitem(sys.modules, "stackctl.engines.start", start)

    def act(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = run(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
        found = capfd.readouterr()
        return status, found.out, found.err

    return act
