"""`engine uninstall`: everything of the engine's, in an order in which each refusal leaves all as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from stackctl.cli.connect import running_engine, start_engine
from stackctl.cli.settings import Settings
from stackctl.engines import systemd
from stackctl.engines.start import DEFAULT_ROOT, await_end, check_privileges, root_of
from stackctl.engines.uninstalling import remove_root, restore_host, volumes_with_data
from stackctl.errors import Conflict
from stackctl.runtime import set_aside
from stackctl.runtime.paths import EnginePaths, find_engine


def uninstall_engine(settings: Settings, *, force: bool, keeps_data: bool) -> None:
    """Undo all that the engine has done to this machine, telling each thing. Raises EngineError, OSError."""
    check_privileges()
    root = root_of(settings.environment)
    paths = find_engine(root)
    if paths is None:
        click.echo(f"There is no engine in {root}", err=True)
        return
    if not force and not keeps_data:
        _check_volumes(paths, volumes_with_data(paths))
        _check_set_aside(set_aside.names(paths))
    _stop(settings, paths, force=force)
    name = systemd.unit_name(paths, DEFAULT_ROOT)
    if systemd.uninstall(name):
        click.echo(f"removed {systemd.UNIT_FOLDER}/{name}")
    for done in restore_host(paths):
        click.echo(done)
    if keeps_data:
        click.echo(f"kept {paths.root}: the next command starts an engine on it again")
        return
    left = remove_root(paths)
    click.echo(f"removed {paths.root}" + (f", but not {', '.join(left)} in it" if left else ""))


def _check_volumes(paths: EnginePaths, volumes: Sequence[str]) -> None:
    if not volumes:
        return
    what = "a volume holds" if len(volumes) == 1 else f"{len(volumes)} volumes hold"
    named = ", ".join(volumes[:5]) + (" and more" if len(volumes) > 5 else "")
    raise Conflict(
        f"{what} data: {named}",
        code="volumes-hold-data",
        hint="save it with `stackctl volume export NAME`, then add --force to delete it with the engine, "
        f"or --keep-data to leave {paths.root} as it is",
    )


def _check_set_aside(names: Sequence[str]) -> None:
    if names:
        raise Conflict(
            f"what lost containers wrote is kept: {', '.join(names)}",
            code="volumes-hold-data",
            hint="`stackctl engine set-aside` says where; add --force to delete it with the engine",
        )


def _stop(settings: Settings, paths: EnginePaths, *, force: bool) -> None:
    client = running_engine(settings)
    if client is None:
        if not os.path.isdir(paths.run):
            return  # it ended in good order, or before this boot: nothing is left in the kernel
        # It was killed: only an engine knows what it left, containers perhaps.
        client = start_engine(settings)
    running = int(client.engine_status()["containers"]["running"])
    if running and not force:
        raise Conflict(
            f"{running} container{'s are' if running != 1 else ' is'} running",
            code="containers-running",
            hint="take the stacks down first (`stackctl ls` lists them), or add --force to stop the containers",
        )
    client.engine_stop(force)
    await_end(settings.environment)
    click.echo("stopped the engine")
