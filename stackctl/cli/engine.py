"""`engine`: the processes behind it all."""

from __future__ import annotations

import json
import os
import sys
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


@engine.command()
@click.option("--now", is_flag=True, help="Start the engine too, unless it runs.")
def install(now: bool) -> None:
    """Have systemd start the engine when the machine boots. What has a restart policy comes back then.

    The unit runs this very installation of stackctl, on the engine that STACKCTL_ROOT names. Doing it again
    brings it up to date.
    """
    from stackctl.engines import systemd  # only for this
    from stackctl.engines.start import DEFAULT_ROOT, check_privileges, root_of
    from stackctl.runtime.paths import open_engine

    environment = current_settings().environment
    check_privileges()
    paths = open_engine(root_of(environment))
    name = systemd.unit_name(paths, DEFAULT_ROOT)
    path = systemd.install(name, systemd.unit_text(paths.root, _own_command()), starts_now=now)
    click.echo(f"{path}: the engine starts with the machine" + (", and now" if now else ""))


def _own_command() -> str:
    """Return the absolute path of this installation's command."""
    beside = os.path.join(os.path.dirname(sys.executable), "stackctl")
    return beside if os.path.exists(beside) else os.path.abspath(sys.argv[0])


@engine.command()
@click.option("--force", is_flag=True, help="Stop running containers, and delete volumes with what they hold.")
@click.option("--keep-data", is_flag=True, help="Leave the state root: containers, volumes, images.")
def uninstall(force: bool, keep_data: bool) -> None:
    """Leave the machine as it was: no engine, no unit, no networks, no rules, no state root.

    Refused while containers run, or volumes hold anything, unless forced.
    """
    from stackctl.cli.uninstalling import uninstall_engine  # only for this

    uninstall_engine(current_settings(), force=force, keeps_data=keep_data)


@engine.command("set-aside")
@click.option("--remove", "removed", multiple=True, metavar="NAME", help="Delete one; may be repeated.")
@click.option("--remove-all", "removes_all", is_flag=True, help="Delete all of them.")
def set_aside(removed: tuple[str, ...], removes_all: bool) -> None:
    """List containers whose records were lost on the disk, and where what they wrote is kept; or delete it."""
    client = start_engine(current_settings())
    status = client.engine_status()
    if not removed and not removes_all:
        click.echo("".join(f"{status['root']}/set-aside/{name}/upper\n" for name in status["set_aside"]), nl=False)
    for name in status["set_aside"] if removes_all else removed:
        client.remove_set_aside(name)
        click.echo(f"removed {name}")


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
