"""Performing one verb on a stack, with progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stackctl.cli.applying import Ending, follow
from stackctl.cli.requests import Verb, stack_request
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import Settings

if TYPE_CHECKING:
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


def change_existing(settings: Settings, engine: EngineClient, project: str, verb: Verb, **options: Any) -> None:
    """Perform a verb that needs no stack file. Raises what went wrong."""
    request = stack_request(verb, None, **options)
    perform(settings, engine, project, request, title=verb).raise_failure()
