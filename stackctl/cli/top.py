"""`top`."""

from __future__ import annotations

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.options import services_argument
from stackctl.cli.render.style import without_controls
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services
from stackctl.errors import Conflict, NotFound


@click.command()
@services_argument
def top(services: tuple[str, ...]) -> None:
    """List the processes in running containers, with the ids they have on this machine."""
    settings = current_settings()
    engine = known_engine(settings)
    found = of_services(settings, containers_of(engine, project_of(settings)), services)
    head: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    for container in found:
        if engine is None or container.state != "running":
            continue
        try:
            shape = engine.top(container.id)
        except (NotFound, Conflict):  # it has ended meanwhile
            continue
        head = ("SERVICE", "#", *shape["Titles"])
        for process in shape["Processes"]:
            rows.append((container.service, str(container.number), *map(without_controls, process)))
    if rows:
        click.echo(table(head, rows, narrowest=0), nl=False)
