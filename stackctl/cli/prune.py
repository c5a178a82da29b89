"""`prune` of `system`, `volume` and `network`: removing what nothing uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.render.sizes import size_text
from stackctl.cli.settings import current_settings
from stackctl.errors import UsageError

Filters = Mapping[str, Sequence[str]]
# What is asked to be pruned, in an order in which each makes room for the next, and where the answer names what went.
_ANSWERS: Final = {
    "containers": ("Containers", "ContainersDeleted"),
    "networks": ("Networks", "NetworksDeleted"),
    "volumes": ("Volumes", "VolumesDeleted"),
    "images": ("Images", "ImagesDeleted"),
}
_force = click.option("-f", "--force", is_flag=True, help="Do not ask.")
_filter = click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only these: label=…, label!=…, until=24h."
)


@click.command("prune")
@click.option("-a", "--all", "wants_all", is_flag=True, help="All images that no container uses, and the build cache.")
@click.option("--volumes", "wants_volumes", is_flag=True, help="Also anonymous volumes that no container has.")
@_force
@_filter
def prune_system(wants_all: bool, wants_volumes: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove what nothing uses: stopped containers, networks, images without a name.

    Named volumes stay: `stackctl volume prune -a` removes those, too.
    """
    wanted: dict[str, Filters] = {"containers": {}, "networks": {}}
    if wants_volumes:
        wanted["volumes"] = {}
    wanted["images"] = {"dangling": ["false" if wants_all else "true"]}
    told = [
        "all stopped containers, of every stack",
        "all networks that no container uses",
        *(["all anonymous volumes that no container has, with what they hold"] if wants_volumes else []),
        "all images that no container uses" if wants_all else "all images without a name that no container uses",
        *(["all steps of builds that are remembered"] if wants_all else []),
    ]
    _prune(wanted, told, _parsed(filters), is_agreed=force)


@click.command("prune")
@click.option("-a", "--all", "wants_all", is_flag=True, help="Also volumes that have a name.")
@_force
@_filter
def prune_volumes(wants_all: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove volumes that no container has, with what they hold: those without a name of their own."""
    told = [f"all {'' if wants_all else 'anonymous '}volumes that no container has, with what they hold"]
    _prune({"volumes": {"all": ["true"]} if wants_all else {}}, told, _parsed(filters), is_agreed=force)


@click.command("prune")
@_force
@_filter
def prune_networks(force: bool, filters: tuple[str, ...]) -> None:
    """Remove networks that no container uses."""
    _prune({"networks": {}}, ["all networks that no container uses"], _parsed(filters), is_agreed=force)


def _prune(wanted: Mapping[str, Filters], told: Sequence[str], filters: Filters, *, is_agreed: bool) -> None:
    if not is_agreed:
        click.echo("This removes:\n" + "".join(f"  - {what}\n" for what in told), err=True)
        if not click.confirm("Go on?", err=True):
            return
    engine = known_engine(current_settings())
    freed = 0
    for kind, own in wanted.items():
        answer: Mapping[str, Any] = engine.prune(kind, {**own, **filters}) if engine is not None else {}
        title, key = _ANSWERS[kind]
        gone = [line for entry in answer.get(key) or () for line in _lines(entry)]
        if gone:
            click.echo(f"Deleted {title}:\n" + "".join(f"{line}\n" for line in gone))
        freed += int(answer.get("SpaceReclaimed") or 0)
    click.echo(f"Total reclaimed space: {size_text(freed)}")


def _lines(entry: str | Mapping[str, str]) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [f"{verb.lower()}: {which}" for verb, which in entry.items()]


def _parsed(filters: Sequence[str]) -> Filters:
    """Return filters in the API's shape: ``label!=x`` is of the key ``label!``. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in ("label", "label!", "until"):
            raise UsageError(f"no filter: {text}", hint="label=KEY, label=KEY=VALUE, label!=KEY and until=24h are")
        found.setdefault(key, []).append(value)
    return found
