"""Performing one verb on a stack, with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stackctl.cli.applying import Ending, follow
from stackctl.cli.requests import Verb, stack_request
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import Settings
from stackctl.errors import StackctlError

if TYPE_CHECKING:
    from stackctl.cli.containers import Listed
    from stackctl.client.engine_client import EngineClient
    from stackctl.wire.stack_request import StackRequest


def perform(
    settings: Settings,
    engine: EngineClient,
    project: str,
    request: StackRequest,
    *,
    title: str,
    patience: int = 2,
    first_note: str = "",
    was_interrupted: Callable[[], bool] = lambda: False,
) -> Ending:
    """Have the engine perform a request and show it; see ``applying.follow``."""
    with open_screen(settings, title) as screen:
        return follow(
            lambda: engine.apply(project, request),
            engine.cancel,
            screen,
            patience=patience,
            first_note=first_note,
            was_interrupted=was_interrupted,
        )


def change_existing(
    settings: Settings, engine: EngineClient, project: str, verb: Verb, of: Sequence[Listed] = (), **options: Any
) -> None:
    """Perform a verb that needs no stack file, on containers ``of`` the stack. Raises what went wrong."""
    request = stack_request(verb, None, **options)
    try:
        perform(settings, engine, project, request, title=verb).raise_failure()
    except StackctlError as error:
        if any(diagnostic.subject[0] for diagnostic in error.diagnostics):
            from stackctl.cli.start_errors import place  # the parser of stack files: only after a failure

            place(settings, error, of)
        raise
