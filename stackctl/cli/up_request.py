"""What `up` and `plan` ask for, and the options they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stackctl.cli import declared
from stackctl.cli.options import reject_pairs
from stackctl.cli.requests import logins_for, stack_request
from stackctl.cli.settings import Settings
from stackctl.cli.targets import no_such_service
from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.cli.known_stack import AnyStack
    from stackctl.wire.stack_request import StackRequest

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    declared.options("--scale", "scales", metavar="SERVICE=N", help="Number of replicas of a service."),
    declared.flag("--force-recreate", help="Replace containers although nothing changed."),
    declared.flag("--no-recreate", help="Keep containers although something changed."),
    declared.flag("--remove-orphans", help="Remove containers of services the files do not have."),
    declared.flag("--no-deps", help="Leave services that the named ones need alone."),
)


def shared_options(command: F) -> F:
    """Add the options that decide what the plan is."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Choices(NamedTuple):
    """The values of the shared options."""

    services: tuple[str, ...]
    scales: tuple[str, ...]
    force_recreate: bool
    no_recreate: bool
    remove_orphans: bool
    no_deps: bool
    recreate_deps: bool = False


def up_request(settings: Settings, document: AnyStack, choices: Choices, **options: Any) -> StackRequest:
    """Return the request. Raises UsageError for what excludes each other, and for unknown services."""
    reject_pairs(
        {
            "--force-recreate": choices.force_recreate,
            "--no-recreate": choices.no_recreate,
            "--always-recreate-deps": choices.recreate_deps,
        },
        [("--force-recreate", "--no-recreate"), ("--always-recreate-deps", "--no-recreate")],
    )
    tree = document.tree.get("services")
    known = {*(tree if isinstance(tree, dict) else ()), *document.disabled_services}
    return stack_request(
        "up",
        document,
        services=choices.services,
        recreate="force" if choices.force_recreate else "never" if choices.no_recreate else "diverged",
        remove_orphans=choices.remove_orphans or settings.is_set("COMPOSE_REMOVE_ORPHANS"),
        no_deps=choices.no_deps,
        recreate_deps=choices.recreate_deps,
        scale=parse_scales(choices.scales, known),
        credentials=logins_for(settings, document),
        **options,
    )


def parse_scales(scales: tuple[str, ...], known: set[str]) -> Mapping[str, int]:
    """Return service → replicas of ``web=3``. Raises UsageError."""
    found = {}
    for text in scales:
        service, equals, number = text.partition("=")
        if not equals or not number.isdecimal():
            raise UsageError(f"invalid number of replicas: {text}", hint="write SERVICE=NUMBER, as web=3")
        if service not in known:
            raise no_such_service(service, known)
        found[service] = int(number)
    return found
