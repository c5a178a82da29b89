"""`engine`: the processes behind it all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from stackctl.cli.connect import running_engine, start_engine
from stackctl.cli.failure import Failure
from stackctl.cli.settings import current_settings


@click.group()
def engine() -> None:
    """Start, stop, restart and show the engine. Other commands start it when they need it."""


@engine.command()
def start() -> None:
    """Start the engine, unless it runs."""
    client = start_engine(current_settings())
    click.echo(_status_text(client.engine_status()), nl=False)


@engine.command()
@click.option("--force", is_flag=True, help="Stop running containers too.")
def stop(force: bool) -> None:
    """Stop the engine, and wait until it is gone. Refused while containers run, unless forced."""
    from stackctl.engines.start import await_end  # only for commands that talk to the engine

    client = running_engine(current_settings())
    if client is None:
        click.echo("The engine is not running", err=True)
        return
    client.engine_stop(force)
    await_end(current_settings().environment)


@engine.command()
def restart() -> None:
    """Restart the engine's daemon and supervisor from this installation. Containers go on."""
    from stackctl.engines.replacing import replace_engine  # only for this

    settings = current_settings()
    client = running_engine(settings)
    if client is None:
        click.echo("The engine is not running", err=True)
        raise Failure(1)
    replace_engine(settings.environment)
    click.echo(_status_text(client.engine_status()), nl=False)


@engine.command()
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="How to show it.")
def status(form: str) -> None:
    """Show the engine; exit with 1 when it does not run."""
    client = running_engine(current_settings())
    if client is None:
        click.echo(json.dumps({"running": False}) if form == "json" else "The engine is not running")
        raise Failure(1)
    found = client.engine_status()
    click.echo(json.dumps({"running": True, **found}) + "\n" if form == "json" else _status_text(found), nl=False)


def _status_text(found: Mapping[str, Any]) -> str:
    containers: Mapping[str, Any] = found.get("containers") or {}
    pids: Mapping[str, Any] = found.get("pids") or {}
    rows = {
        "engine": f"{found.get('id')}, version {found.get('version')}",
        "root": found.get("root"),
        "API": found.get("api"),
        "processes": ", ".join(f"{name} {pid}" for name, pid in pids.items()),
        "containers": f"{containers.get('running', 0)} running, {containers.get('total', 0)} in all",
    }
    notices = "".join(f"{'notice:':<12}{notice}\n" for notice in found.get("notices") or ())
    return "".join(f"{name + ':':<12}{value}\n" for name, value in rows.items()) + notices
