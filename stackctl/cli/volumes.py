"""`volumes`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from stackctl import labels
from stackctl.cli.connect import known_engine
from stackctl.cli.options import list_form, services_argument
from stackctl.cli.render.table import table
from stackctl.cli.render.template import formatted
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Show names only.")
@click.option("--format", "form", default="table", metavar="table|json|TEMPLATE", help="How to show them.")
@services_argument
def volumes(quiet: bool, form: str, services: tuple[str, ...]) -> None:
    """List the volumes of the stack, or those that containers of the services use."""
    settings = current_settings()
    form = list_form(form)
    project = project_of(settings)
    engine = known_engine(settings)
    found = [] if engine is None else engine.volumes()
    found = [volume for volume in found if (volume.get("Labels") or {}).get(labels.PROJECT) == project]
    if services:
        containers = of_services(settings, containers_of(engine, project), services)
        mounts = [mount for container in containers for mount in container.entry.get("Mounts") or ()]
        used = {mount.get("Name") for mount in mounts}
        found = [volume for volume in found if volume["Name"] in used]
    if quiet:
        click.echo("".join(f"{volume['Name']}\n" for volume in found), nl=False)
    elif "{{" in form:
        shapes = [{**volume, "Labels": _labels(volume)} for volume in found]
        fields = ("Name", "Driver", "Labels", "Mountpoint", "Scope")
        click.echo(formatted(form, [{key: shape.get(key, "") for key in fields} for shape in shapes]), nl=False)
    elif form == "json":
        click.echo("".join(json.dumps(volume, separators=(",", ":")) + "\n" for volume in found), nl=False)
    else:
        click.echo(table(("DRIVER", "VOLUME NAME"), [(v["Driver"], v["Name"]) for v in found]), nl=False)


def _labels(volume: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((volume.get("Labels") or {}).items()))
