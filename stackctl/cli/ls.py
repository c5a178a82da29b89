"""`ls`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import click

from stackctl import labels
from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed, in_order
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings


@click.command()
@click.option("-a", "--all", "shows_all", is_flag=True, help="Show stacks of which nothing runs, too.")
@click.option("-q", "--quiet", is_flag=True, help="Show names only.")
@click.option("--filter", "filters", multiple=True, metavar="name=TEXT", help="Show stacks with TEXT in their name.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show them.")
def ls(shows_all: bool, quiet: bool, filters: tuple[str, ...], form: str) -> None:
    """List the stacks of this engine, wherever their files are."""
    wanted = [_name_of(text) for text in filters]
    engine = known_engine(current_settings())
    entries = engine.containers(all=True, labels=[labels.PROJECT]) if engine is not None else []
    stacks: dict[str, list[Listed]] = {}
    for container in in_order(entries):
        stacks.setdefault(_label(container, labels.PROJECT), []).append(container)
    rows = [
        (name, _status(containers), _files(containers))
        for name, containers in sorted(stacks.items())
        if (shows_all or any(c.is_running for c in containers)) and all(text in name for text in wanted)
    ]
    if quiet:
        click.echo("".join(f"{name}\n" for name, _, _ in rows), nl=False)
    elif form == "json":
        shapes = [{"Name": name, "Status": status, "ConfigFiles": files} for name, status, files in rows]
        click.echo(json.dumps(shapes, ensure_ascii=False))
    else:
        click.echo(table(("NAME", "STATUS", "CONFIG FILES"), rows), nl=False)


def _label(container: Listed, name: str) -> str:
    return str((container.entry.get("Labels") or {}).get(name) or "")


def _status(containers: Iterable[Listed]) -> str:
    """Return ``exited(1), running(2)``."""
    counts = Counter(container.state for container in containers)
    return ", ".join(f"{state}({count})" for state, count in sorted(counts.items()))


def _files(containers: Iterable[Listed]) -> str:
    files = dict.fromkeys(_label(container, labels.CONFIG_FILES) for container in containers)
    return ",".join(text for text in files if text)


def _name_of(text: str) -> str:
    key, _, name = text.partition("=")
    if key != "name":
        raise click.UsageError(f"invalid filter {text!r}: write name=TEXT")
    return name
