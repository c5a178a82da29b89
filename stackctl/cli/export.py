"""`export` and `commit`: what a container has become, as an archive or as an image."""

from __future__ import annotations

import sys
from typing import NamedTuple

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of, replica
from stackctl.client.engine_client import EngineClient
from stackctl.errors import UsageError

_INDEX = click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Which replica.")


class _Found(NamedTuple):
    engine: EngineClient
    id: str


@click.command()
@_INDEX
@click.option("-o", "--output", default="", metavar="FILE", help="Write to a file, not to standard output.")
@click.argument("service")
def export(index: int, output: str, service: str) -> None:
    """Write the files of a container as a tar archive, without its volumes."""
    if not output and sys.stdout.isatty():
        raise UsageError(
            "output path is required when exporting to terminal",
            code="usage",
            hint="name a file with -o, or send the output to one",
        )
    found = _container(service, index)
    pieces = found.engine.export_container(found.id)
    if not output:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        return
    with open(output, "wb") as file:
        for piece in pieces:
            file.write(piece)


@click.command()
@_INDEX
@click.option("-a", "--author", default="", help='Who made it, such as "Jane <jane@example.com>".')
@click.option("-c", "--change", "changes", multiple=True, metavar="LINE", help="A Dockerfile line for the image.")
@click.option("-m", "--message", default="", help="What was done.")
@click.option("-p", "--pause/--no-pause", default=True, help="Let the container stand still meanwhile (default).")
@click.argument("service")
@click.argument("name", default="", metavar="[REPOSITORY[:TAG]]")
def commit(
    index: int, author: str, changes: tuple[str, ...], message: str, pause: bool, service: str, name: str
) -> None:
    """Make an image of a container as it is now, without its volumes."""
    found = _container(service, index)
    repository, tag = _split(name)
    query = {"container": found.id, "repo": repository, "tag": tag, "author": author, "comment": message}
    print(found.engine.commit(query, changes, pauses=pause))


def _container(service: str, index: int) -> _Found:
    settings = current_settings()
    engine = known_engine(settings)
    containers = containers_of(engine, project_of(settings))
    check_services(settings, (service,), {container.service for container in containers})
    container = replica(containers, service, index)
    assert engine is not None  # it has listed the container
    return _Found(engine, container.id)


def _split(name: str) -> tuple[str, str]:
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")
