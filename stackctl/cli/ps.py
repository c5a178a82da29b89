"""`ps`."""

from __future__ import annotations

import time
from functools import partial

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.options import services_argument
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, of_services
from stackctl.client.engine_client import EngineClient
from stackctl.errors import NotFound

_STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")


@click.command()
@click.option("-a", "--all", "shows_all", is_flag=True, help="Show stopped containers and one-offs too.")
@click.option("-q", "--quiet", is_flag=True, help="Show ids only.")
@click.option("--services", "shows_services", is_flag=True, help="Show names of services only.")
@click.option("--status", "states", multiple=True, type=click.Choice(_STATES), help="Show these states only.")
@click.option("--filter", "filters", multiple=True, metavar="status=STATE", help="The same, written differently.")
@click.option(
    "--format",
    "form",
    default="table",
    metavar="table|json|TEMPLATE",
    callback=lambda _, __, value: _checked_form(value),
    help="How to show them: '{{.Name}} {{.Status}}', or with a head 'table {{.Name}}\\t{{.Ports}}'.",
)
@click.option("--no-trunc", is_flag=True, help="Show everything in full.")
@click.option("--orphans/--no-orphans", default=True, hidden=True)
@services_argument
def ps(
    shows_all: bool,
    quiet: bool,
    shows_services: bool,
    states: tuple[str, ...],
    filters: tuple[str, ...],
    form: str,
    no_trunc: bool,
    orphans: bool,
    services: tuple[str, ...],
) -> None:
    """List containers of the stack."""
    del orphans
    settings = current_settings()
    wanted_states = {*states, *map(_state_of_filter, filters)}
    engine = known_engine(settings)
    found = containers_of(engine, project_of(settings), with_oneoffs=shows_all)
    found = [c for c in of_services(settings, found, services) if _is_wanted(c, wanted_states, shows_all)]
    if quiet:
        lines = [f"{container.id}\n" for container in found]
    elif shows_services:
        lines = [f"{name}\n" for name in dict.fromkeys(container.service for container in found)]
    else:
        from stackctl.cli.render.ps import ps_text  # not for -q

        lines = [ps_text(found, form, now_s=time.time(), is_truncated=not no_trunc)]
    click.echo("".join(lines), nl=False)
    if shows_all and not quiet and engine is not None:
        _tell_lost(settings, engine)


def _tell_lost(settings: Settings, engine: EngineClient) -> None:
    """Say which containers cannot be listed, as nothing is known of them any more."""
    from stackctl.cli.warnings import tell  # not for -q
    from stackctl.diagnostics import Diagnostic
    from stackctl.runtime.set_aside import HINT, notice

    try:
        status = engine.engine_status()
    except NotFound:  # another kind of engine
        return
    kind = partial(Diagnostic, severity="warning", code="kept-files", summary="A container was lost", hint=HINT)
    tell(settings, [kind(detail=notice(status["root"], name)) for name in status.get("set_aside") or ()])


def _checked_form(text: str) -> str:
    if text not in ("table", "json") and "{{" not in text:
        raise click.BadParameter(f"{text!r} is not one of 'table', 'json'", param_hint="'--format'")
    return text


def _is_wanted(container: Listed, states: set[str], shows_all: bool) -> bool:
    if states:
        return container.state in states
    return shows_all or container.is_running


def _state_of_filter(text: str) -> str:
    key, _, state = text.partition("=")
    if key not in ("status", "source") or state not in _STATES:
        raise click.UsageError(f"invalid filter {text!r}: write status=STATE")
    return state
