"""A stack file in a folder of its own, run by a real engine through the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.client.engine_client import EngineClient
from tests.support.engine import Engine, Result, wait_until


@dataclass(frozen=True)
class Composed:
    """A stack of one file; every command runs in its folder."""

    engine: Engine
    folder: Path

    def run(self, *arguments: str, **options: Any) -> Result:
        """Run ``stackctl`` on this stack."""
        return self.engine.run(*arguments, cwd=self.folder, **options)

    def write(self, text: str) -> None:
        """Replace the stack file."""
        (self.folder / "compose.yaml").write_text(textwrap.dedent(text), encoding="utf-8")

    def exec(self, service: str, *argv: str, **options: Any) -> Result:
        """Execute in the running container of a service, without a terminal."""
        return self.run("exec", "-T", service, *argv, **options)

    def sh(self, service: str, script: str) -> str:
        """Return what a shell script printed in the service's container."""
        return self.exec(service, "sh", "-c", script).out

    def once(self, service: str, *argv: str, **options: Any) -> Result:
        """Run a command in a new container of the service, which is removed afterwards."""
        return self.run("run", "--rm", "-T", service, *argv, **options)

    def row(self, service: str) -> dict[str, Any]:
        """Return what ``ps`` says of the service's one container."""
        rows: list[dict[str, Any]] = [row for row in self.rows() if row["Service"] == service]
        assert len(rows) == 1, rows
        return rows[0]

    def rows(self) -> list[dict[str, Any]]:
        """Return what ``ps -a`` says."""
        return self.run("ps", "-a", "--format", "json").rows()

    def logs(self, service: str, *flags: str) -> str:
        """Return the service's log, bare."""
        return self.run("logs", "--no-log-prefix", "--no-color", *flags, service).out

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what the Docker API says of the container ``name``."""
        return EngineClient(self.engine.status()["api"]).inspect_container(name)

    def wait_for(self, service: str, **wanted: Any) -> dict[str, Any]:
        """Wait until ``ps`` shows these values of the service's container."""

        def shown() -> dict[str, Any] | None:
            row = self.row(service)
            return row if all(row[key] == value for key, value in wanted.items()) else None

        found: dict[str, Any] = wait_until(f"{service} has {wanted}", shown)
        return found


@contextmanager
def composed(engine: Engine, folder: Path, text: str, *up: str) -> Iterator[Composed]:
    """Bring the stack up for the length of the block; without ``up`` only write it down."""
    folder.mkdir(exist_ok=True)
    stack = Composed(engine, folder)
    stack.write(text)
    try:
        if up:
            stack.run("up", "-d", *(flag for flag in up if flag != "-d"))
        yield stack
    finally:
        stack.run("down", "-v", "-t", "0", "--remove-orphans", status=None)


def one_service(settings: str) -> str:
    """Return the file of a stack whose one service, ``web``, is made from busybox."""
    return f"name: one\nservices:\n  web: {{image: busybox, {settings}}}\n"
