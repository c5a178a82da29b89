"""`images`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.options import services_argument
from stackctl.cli.render.durations import ago
from stackctl.cli.render.sizes import size_text
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services

_HEAD = ("CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED")


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Show ids only.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show them.")
@services_argument
def images(quiet: bool, form: str, services: tuple[str, ...]) -> None:
    """List the images that the stack's containers were made of."""
    settings = current_settings()
    engine = known_engine(settings)
    found = of_services(settings, containers_of(engine, project_of(settings)), services)
    known = {image["Id"]: image for image in engine.images()} if engine is not None and found else {}
    shapes = [_shape(container.name, container.entry, known) for container in found]
    if quiet:
        ids = dict.fromkeys(shape["ID"] for shape in shapes)
        click.echo("".join(f"{image_id.removeprefix('sha256:')}\n" for image_id in ids), nl=False)
    elif form == "json":
        click.echo(json.dumps(shapes, ensure_ascii=False))
    else:
        click.echo(_table(shapes, now_s=time.time()), nl=False)


def _shape(name: str, entry: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    image_id = str(entry.get("ImageID") or "")
    image = known.get(image_id) or {}
    repository, _, tag = str((image.get("RepoTags") or [entry.get("Image") or ""])[0]).rpartition(":")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(image.get("Created") or 0)))
    return {
        "ID": image_id,
        "ContainerName": name,
        "Repository": repository or tag,
        "Tag": tag if repository else "",
        "Platform": str(image.get("Platform") or ""),
        "Size": int(image.get("Size") or 0),
        "Created": created,
        "LastTagTime": created,
    }


def _table(shapes: Sequence[Mapping[str, Any]], *, now_s: float) -> str:
    import calendar  # only for a table

    rows = []
    for shape in shapes:
        created = ago(calendar.timegm(time.strptime(shape["Created"], "%Y-%m-%dT%H:%M:%SZ")), now_s)
        image_id = shape["ID"].removeprefix("sha256:")[:12]
        names = (shape["ContainerName"], shape["Repository"], shape["Tag"], shape["Platform"])
        rows.append((*names, image_id, size_text(shape["Size"]), created))
    return table(_HEAD, rows)
