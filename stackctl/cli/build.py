"""`build`: the images of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from stackctl.cli.building import with_contexts, with_needed
from stackctl.cli.changing import perform
from stackctl.cli.connect import start_engine
from stackctl.cli.options import services_argument, unsupported
from stackctl.cli.requests import logins_for, stack_request
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import load_document
from stackctl.errors import UsageError


@click.command()
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME[=VALUE]", help="Set an ARG for this build.")
@click.option("--no-cache", is_flag=True, help="Do every step again.")
@click.option("--pull", is_flag=True, help="Ask registries for newer base images.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--with-dependencies", is_flag=True, help="Build what the named services depend on, too.")
@unsupported("--push")
@unsupported("--builder", takes_value=True)
@unsupported("--check")
@unsupported("--print")
@unsupported("--provenance", takes_value=True)
@unsupported("--sbom", takes_value=True)
@unsupported("--ssh", takes_value=True)
@click.option("-m", "--memory", hidden=True)
@services_argument
def build(
    services: tuple[str, ...],
    arguments: tuple[str, ...],
    no_cache: bool,
    pull: bool,
    quiet: bool,
    with_dependencies: bool,
    memory: str | None,
) -> None:
    """Build the images of services that have `build:`.

    `up` does so by itself when something of what an image is built from has changed. What was done before is taken
    from the cache.
    """
    del memory
    settings = current_settings()
    document = load_document(settings, services)
    shapes: Any = document.tree.get("services")
    known: Mapping[str, Any] = shapes if isinstance(shapes, dict) else {}
    chosen = with_needed(known, services) if with_dependencies and services else services or tuple(known)
    wanted = tuple(name for name in chosen if (known.get(name) or {}).get("build"))
    if not wanted:
        click.echo("No services to build", err=True)
        return
    request = stack_request(
        "build",
        document,
        services=wanted,
        no_cache=no_cache,
        pull="always" if pull else "",
        build_args=tuple(_argument(settings, text) for text in arguments),
        credentials=logins_for(settings, document),
    )
    engine = start_engine(settings)
    request = with_contexts(settings, engine, document, request)
    shown = settings.with_progress("quiet") if quiet else settings
    perform(shown, engine, document.name, request, title="build").raise_failure()


def _argument(settings: Settings, text: str) -> str:
    """Return ``NAME=VALUE``; a name alone takes its value from the environment."""
    name, equals, _ = text.partition("=")
    if not name:
        raise UsageError(f"invalid --build-arg: {text!r}", hint="write --build-arg NAME=VALUE")
    return text if equals else f"{name}={settings.environment.get(name, '')}"
