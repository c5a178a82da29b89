"""`create` and `scale`: parts of `up`."""

from __future__ import annotations

from stackctl.cli import declared
from stackctl.cli.building import build_mode, with_contexts
from stackctl.cli.changing import perform
from stackctl.cli.connect import start_engine
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import load_document
from stackctl.cli.up_request import Choices, shared_options, up_request


@declared.command()
@shared_options
@declared.flag("--build", help="Build images although nothing changed.")
@declared.pull
@declared.quiet_pull
@declared.flag("--no-build", help="Build no image although something changed.")
@declared.flag("-y", "--yes", hidden=True)
@declared.services
def create(
    services: tuple[str, ...],
    scales: tuple[str, ...],
    force_recreate: bool,
    no_recreate: bool,
    remove_orphans: bool,
    no_deps: bool,
    build: bool,
    pull: str | None,
    quiet_pull: bool,
    no_build: bool,
    yes: bool,
) -> None:
    """Create the stack's containers, and do not start them."""
    del yes
    _bring_up(
        Choices(
            services=services,
            scales=scales,
            force_recreate=force_recreate,
            no_recreate=no_recreate,
            remove_orphans=remove_orphans,
            no_deps=no_deps,
        ),
        is_started=False,
        build=build_mode({"build": build, "no_build": no_build}),
        pull=pull or "",
        is_pull_quiet=quiet_pull,
    )


@declared.command()
@declared.flag("--no-deps", help="Leave services that the named ones need alone.")
@declared.arguments("scales", required=True, metavar="SERVICE=N...")
def scale(no_deps: bool, scales: tuple[str, ...]) -> None:
    """Change the number of replicas of services. What else has changed in the files is for `up`."""
    _bring_up(
        Choices(
            services=tuple(text.partition("=")[0] for text in scales),
            scales=scales,
            force_recreate=False,
            no_recreate=True,
            remove_orphans=False,
            no_deps=no_deps,
        ),
        is_started=True,
        build="",
    )


def _bring_up(choices: Choices, *, is_started: bool, build: str, pull: str = "", is_pull_quiet: bool = False) -> None:
    settings = current_settings().with_quiet_pulls() if is_pull_quiet else current_settings()
    document = load_document(settings, choices.services)
    request = up_request(settings, document, choices, no_start=not is_started, build=build, pull=pull)
    engine = start_engine(settings)
    request = with_contexts(settings, engine, document, request)
    perform(settings, engine, document.name, request, title="up").raise_failure()
