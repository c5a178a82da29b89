"""`down`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackctl.cli import declared
from stackctl.cli.changing import change_existing
from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.declared import Choice
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, existing_services

if TYPE_CHECKING:
    from stackctl.cli.removing_images import Which


@declared.command()
@declared.flag("-v", "--volumes", help="Remove the stack's volumes too: this destroys data.")
@declared.flag("--remove-orphans", help="Remove containers of services the files do not have.")
@declared.timeout
@declared.option(
    "--rmi",
    type=Choice(("all", "local")),
    metavar="all|local",
    help="Remove images too: all, or what the stack built.",
)
@declared.services
def down(
    volumes: bool, remove_orphans: bool, timeout: float | None, rmi: Which | None, services: tuple[str, ...]
) -> None:
    """Stop and remove containers and networks of the stack."""
    settings = current_settings()
    project = project_of(settings)
    engine = known_engine(settings)
    existing = containers_of(engine, project, with_oneoffs=True) if rmi else []
    if services:
        named = existing_services(settings, services, containers_of(engine, project))
        if not named:
            return
        services = tuple(named)
    if engine is None:
        return
    images = _images(settings, project, existing, services, rmi)
    change_existing(
        settings,
        engine,
        project,
        "down",
        services=services,
        remove_volumes=volumes,
        remove_orphans=remove_orphans or settings.is_set("COMPOSE_REMOVE_ORPHANS"),
        timeout_s=timeout,
    )
    if images:
        from stackctl.cli.removing_images import remove_images  # as below
        from stackctl.cli.screen import open_screen

        with open_screen(settings, "down") as screen:
            remove_images(engine, images, screen)


def _images(
    settings: Settings, project: str, existing: Sequence[Listed], services: Sequence[str], rmi: Which | None
) -> list[str]:
    if rmi is None:
        return []
    from stackctl.cli.removing_images import images_of  # only for this option

    return images_of(settings, project, existing, services, rmi)
