"""`wait`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from stackctl.cli.changing import change_existing
from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.failure import Failure
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services
from stackctl.errors import StackctlError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


@click.command()
@click.option("--down-project", is_flag=True, help="Wait for the first only, and take the stack down then.")
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def wait(down_project: bool, services: tuple[str, ...]) -> None:
    """Wait until the services' containers have ended; exit with the code of the first that ends."""
    settings = current_settings()
    project = project_of(settings)
    engine = known_engine(settings)
    found = of_services(settings, containers_of(engine, project), services)
    if engine is None or not found:
        raise StackctlError(
            f"no container of {', '.join(services)} to wait for",
            code="no-container",
            hint="`stackctl up` creates containers",
        )
    first = _wait_for(engine, found, count=1 if down_project else len(found))
    if down_project:
        change_existing(settings, engine, project, "down", services=())
    if first:
        raise Failure(first)


def _wait_for(engine: EngineClient, containers: Sequence[Listed], *, count: int) -> int:
    """Tell the ends of ``count`` containers as they come; return the first code."""
    ends: SimpleQueue[tuple[Listed, int | Exception]] = SimpleQueue()

    def watch(container: Listed) -> None:
        try:
            ends.put((container, engine.wait_container(container.id)))
        except Exception as error:  # the edge of a thread: the main one raises it again
            ends.put((container, error))

    for container in containers:
        threading.Thread(target=watch, args=(container,), name="wait", daemon=True).start()
    codes = []
    for _ in range(count):
        container, code = ends.get()
        if isinstance(code, Exception):
            raise code
        click.echo(f'container "{container.id}" exited with status code {code}')
        codes.append(code)
    return codes[0]
