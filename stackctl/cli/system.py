"""`system`: what the engine as a whole takes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.prune import prune_system
from stackctl.cli.render.durations import ago
from stackctl.cli.render.sizes import size_text
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings

Found = Sequence[Mapping[str, Any]]
_HEAD: Final = ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
_IMAGES: Final = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")
_CONTAINERS: Final = ("CONTAINER ID", "IMAGE", "SIZE", "CREATED", "STATUS", "NAMES")
_VOLUMES: Final = ("VOLUME NAME", "LINKS", "SIZE")
_STEPS: Final = ("STEP", "LAST USED", "SIZE")


@click.group()
def system() -> None:
    """Show what the engine takes on the disk, and remove what nothing uses."""


system.add_command(prune_system)


@system.command()
@click.option("-v", "--verbose", is_flag=True, help="Show each image, container, volume and step.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show it.")
def df(verbose: bool, form: str) -> None:
    """Show how much of the disk images, containers, volumes and the steps of builds take."""
    engine = known_engine(current_settings())
    usage: Mapping[str, Any] = engine.disk_usage() if engine is not None else {}
    if form == "json":
        summary = [dict(zip(_HEAD, row, strict=True)) for row in _summary(usage)]
        shape = usage if verbose else [{key.capitalize(): row[key] for key in _HEAD} for row in summary]
        click.echo(json.dumps(shape))
    elif verbose:
        click.echo(_details(usage, time.time()), nl=False)
    else:
        click.echo(table(_HEAD, _summary(usage)), nl=False)


def _summary(usage: Mapping[str, Any]) -> list[tuple[str, ...]]:
    images, containers = usage.get("Images") or (), usage.get("Containers") or ()
    volumes, steps = usage.get("Volumes") or (), usage.get("BuildCache") or ()
    layers = int(usage.get("LayersSize") or 0)
    used = [image for image in images if image["Containers"]]
    # What an image shares with one that is not used is not to be had by removing that.
    kept = sum(image["Size"] - image["SharedSize"] for image in used)
    if used:
        kept += max(image["SharedSize"] for image in used)
    running = [c for c in containers if c["State"] in ("running", "restarting", "paused")]
    bound = [volume for volume in volumes if volume["UsageData"]["RefCount"]]
    written, in_volumes = _sum(containers, "SizeRw"), sum(v["UsageData"]["Size"] for v in volumes)
    idle_volumes = in_volumes - sum(v["UsageData"]["Size"] for v in bound)
    return [
        _row("Images", len(images), len(used), layers, max(layers - kept, 0)),
        _row("Containers", len(containers), len(running), written, written - _sum(running, "SizeRw")),
        _row("Local Volumes", len(volumes), len(bound), in_volumes, idle_volumes),
        _row("Build Cache", len(steps), 0, _sum(steps, "Size"), _sum(steps, "Size")),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> tuple[str, ...]:
    part = f" ({100 * reclaimable // size}%)" if size else ""
    return (kind, str(total), str(active), size_text(size), size_text(reclaimable) + part)


def _sum(entries: Found, key: str) -> int:
    return sum(int(entry[key]) for entry in entries)


def _details(usage: Mapping[str, Any], now_s: float) -> str:
    images = [_image(image, name, now_s) for image in usage.get("Images") or () for name in _names(image)]
    containers = [_container(container, now_s) for container in usage.get("Containers") or ()]
    volumes = [
        (volume["Name"], str(volume["UsageData"]["RefCount"]), size_text(volume["UsageData"]["Size"]))
        for volume in usage.get("Volumes") or ()
    ]
    steps = [(step["ID"][:12], step["LastUsedAt"], size_text(step["Size"])) for step in usage.get("BuildCache") or ()]
    parts = (
        ("Images", _IMAGES, images),
        ("Containers", _CONTAINERS, containers),
        ("Volumes", _VOLUMES, volumes),
        ("Build cache", _STEPS, steps),
    )
    return "\n".join(f"{title}:\n\n{table(head, rows)}" for title, head, rows in parts)


def _names(image: Mapping[str, Any]) -> Sequence[str]:
    return image.get("RepoTags") or ("<none>:<none>",)


def _image(image: Mapping[str, Any], name: str, now_s: float) -> tuple[str, ...]:
    repository, _, tag = name.rpartition(":")
    sizes = (image["Size"], image["SharedSize"], image["Size"] - image["SharedSize"])
    created = ago(float(image.get("Created") or 0), now_s)
    return (repository, tag, _short(image["Id"]), created, *map(size_text, sizes), str(image["Containers"]))


def _container(container: Mapping[str, Any], now_s: float) -> tuple[str, ...]:
    names = ",".join(name.lstrip("/") for name in container["Names"])
    created = ago(float(container["Created"]), now_s)
    size = size_text(container["SizeRw"])
    return (_short(container["Id"]), container["Image"], size, created, container["Status"], names)


def _short(full: str) -> str:
    return full.removeprefix("sha256:")[:12]
