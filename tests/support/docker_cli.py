"""Docker's own command line, talking to an engine of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine, Result

_TIMEOUT_S = 60.0


@dataclass
class Docker:
    """``docker`` against ``engine``, with a configuration of its own in ``home``."""

    engine: Engine
    home: Path
    program: str
    environment: dict[str, str] = field(default_factory=dict)

    @cached_property
    def host(self) -> str:
        """The address of the engine's API."""
        return str(self.engine.status()["api"])

    def variables(self) -> dict[str, str]:
        """Return the environment that makes the client talk to the engine."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"HOME": str(self.home), "DOCKER_CONFIG": str(self.home), "DOCKER_HOST": self.host}
        return {**kept, **own, "DOCKER_CLI_HINTS": "false", **self.environment}

    def run(
        self,
        *arguments: str,
        status: int | None = 0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Result:
        """Run ``docker`` to its end. ``status`` None takes any."""
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            env={**self.variables(), **(env or {})},
            cwd=cwd,
            timeout=_TIMEOUT_S,
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        result = Result(["docker", *arguments], done.returncode, out, err)
        assert status is None or result.status == status, str(result)
        return result

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Begin ``docker``; the caller ends it. ``options`` are Popen's."""
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
        return subprocess.Popen([self.program, *arguments], env=self.variables(), **settings)


def docker_of(engine: Engine, home: Path) -> Docker:
    """Return Docker's client for ``engine``; fails where it is not installed."""
    program = shutil.which("docker")
    if program is None:
        pytest.fail("these tests run Docker's own command line: apt install docker.io (its daemon is not needed)")
    home.mkdir(exist_ok=True)
    return Docker(engine, home, program)
