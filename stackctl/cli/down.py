"""`down`."""

from __future__ import annotations

from stackctl.cli import declared
from stackctl.cli.changing import change_existing
from stackctl.cli.connect import known_engine
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, existing_services


@declared.command()
@declared.flag("-v", "--volumes", help="Remove the stack's volumes too: this destroys data.")
@declared.flag("--remove-orphans", help="Remove containers of services the files do not have.")
@declared.timeout
@declared.refused("--rmi", takes_value=True)
@declared.services
def down(volumes: bool, remove_orphans: bool, timeout: float | None, services: tuple[str, ...]) -> None:
    """Stop and remove containers and networks of the stack."""
    settings = current_settings()
    project = project_of(settings)
    engine = known_engine(settings)
    if services:
        named = existing_services(settings, services, containers_of(engine, project))
        if not named:
            return
        services = tuple(named)
    if engine is None:
        return
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
