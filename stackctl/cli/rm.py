"""`rm`."""

from __future__ import annotations

import click

from stackctl.cli.changing import change_existing
from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.options import services_argument
from stackctl.cli.render.course import Update
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-s", "--stop", is_flag=True, help="Stop running ones first.")
@click.option("-v", "--volumes", is_flag=True, help="Remove their anonymous volumes too.")
@services_argument
def rm(force: bool, stop: bool, volumes: bool, services: tuple[str, ...]) -> None:
    """Remove stopped containers."""
    settings = current_settings()
    project = project_of(settings)
    engine = known_engine(settings)
    found = of_services(settings, containers_of(engine, project, with_oneoffs=True), services)
    if engine is not None and stop and any(c.is_running and not c.is_oneoff for c in found):
        running = {container.service for container in found if container.is_running and not container.is_oneoff}
        change_existing(settings, engine, project, "stop", services=tuple(sorted(running)))
        found = of_services(settings, containers_of(engine, project, with_oneoffs=True), services)
    stopped = [container for container in found if not container.is_running]
    if engine is None or not stopped:
        click.echo("No stopped containers", err=True)
        return
    if not force and not _agreed(stopped):
        return
    with open_screen(settings, "rm") as screen:
        for container in stopped:
            resource = f"Container {container.name}"
            screen.show(Update(resource, "working", "Removing"))
            engine.remove_container(container.id, force=False, volumes=volumes)
            screen.show(Update(resource, "done", "Removed"))


def _agreed(containers: list[Listed]) -> bool:
    names = ", ".join(container.name for container in containers)
    return click.confirm(f"Going to remove {names}. Are you sure?", default=False, err=True)
