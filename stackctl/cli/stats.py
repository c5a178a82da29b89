"""`stats`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.options import list_form
from stackctl.cli.render.stats import HEAD, Row, row_of, row_text
from stackctl.cli.render.table import table
from stackctl.cli.render.template import formatted
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services
from stackctl.client.engine_client import EngineClient
from stackctl.errors import NotFound

_CYCLE_S: Final = 1.0
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\033[H", "\033[K", "\033[J"
Samples = dict[str, dict[str, Any]]


@click.command()
@click.option("-a", "--all", "is_all", is_flag=True, help="Containers that do not run, too.")
@click.option("--format", "format_", default="table", metavar="table|json|TEMPLATE", help="How to print.")
@click.option("--no-stream", is_flag=True, help="Print once, and end.")
@click.option("--no-trunc", is_flag=True, help="Whole container ids.")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def stats(is_all: bool, format_: str, no_stream: bool, no_trunc: bool, services: tuple[str, ...]) -> None:
    """Show what containers use of the machine, again and again."""
    format_ = list_form(format_)
    settings = current_settings()
    engine = known_engine(settings)
    project = project_of(settings)
    of_services(settings, containers_of(engine, project), services)  # names that are wrong are told at once
    samples: Samples = {}
    while True:
        found = of_services(settings, containers_of(engine, project, with_oneoffs=True), services)
        shown = [container for container in found if is_all or container.is_running]
        if engine is not None:
            before, samples = samples, {c.id: taken for c in shown if (taken := _sample(engine, c)) is not None}
            rows = [_row(container, samples[container.id], before) for container in shown if container.id in samples]
            if before or not rows:
                _print(rows, format_, is_once=no_stream, is_whole=no_trunc)
        if no_stream and (engine is None or before or not rows):
            return
        time.sleep(_CYCLE_S)


def _sample(engine: EngineClient, container: Listed) -> dict[str, Any] | None:
    try:
        return engine.container_stats(container.id)
    except NotFound:  # removed meanwhile
        return None


def _row(container: Listed, now: dict[str, Any], before: Samples) -> Row:
    return row_of(container.id, container.name, now, before.get(container.id, {}))


def _print(rows: list[Row], format_: str, *, is_once: bool, is_whole: bool) -> None:
    if format_ == "json":
        for row in rows:
            print(json.dumps(row_text(row), separators=(",", ":")))
        sys.stdout.flush()
        return
    if "{{" in format_:
        shapes = [{**row_text(row), **({"ID": row.id} if is_whole else {})} for row in rows]
        sys.stdout.write(formatted(format_, shapes))
        sys.stdout.flush()
        return
    lines = [(row.id if is_whole else row.id[:12], *list(row_text(row).values())[-7:]) for row in rows]
    text = table(HEAD, lines, narrowest=0)
    if not is_once:
        text = _HOME + text.replace("\n", f"{_CLEAR_LINE}\n") + _CLEAR_BELOW
    sys.stdout.write(text)
    sys.stdout.flush()
