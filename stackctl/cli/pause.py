"""`pause` and `unpause`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.options import services_argument
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services


@click.command()
@services_argument
def pause(services: tuple[str, ...]) -> None:
    """Let the processes of running containers stand still."""
    _each(services, "Paused", lambda engine, container: engine.pause_container(container))


@click.command()
@services_argument
def unpause(services: tuple[str, ...]) -> None:
    """Let paused containers go on."""
    _each(services, "Unpaused", lambda engine, container: engine.unpause_container(container))


def _each(services: tuple[str, ...], done: str, act: Callable[..., None]) -> None:
    settings = current_settings()
    engine = known_engine(settings)
    for container in of_services(settings, containers_of(engine, project_of(settings)), services):
        if container.is_running:
            act(engine, container.id)
            print(f" Container {container.name} {done}", file=sys.stderr)
