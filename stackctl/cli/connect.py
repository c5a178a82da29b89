"""Reaching the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackctl.cli.settings import Settings
from stackctl.errors import PrivilegeError, UsageError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


def start_engine(settings: Settings) -> EngineClient:
    """Return a client of the engine, started if need be. Raises EngineError, PrivilegeError."""
    from stackctl.client.engine_client import EngineClient  # only for commands that talk to the engine
    from stackctl.engines.start import ensure_engine

    with _permitted():
        return EngineClient(ensure_engine(settings.environment), patience_s=_patience_s(settings))


def known_engine(settings: Settings) -> EngineClient | None:
    """Return a client of the engine, started if need be; None where there never was one: nothing is there then."""
    from stackctl.client.engine_client import EngineClient  # as above
    from stackctl.engines.start import known_engine as find

    with _permitted():
        address = find(settings.environment)
    return None if address is None else EngineClient(address, patience_s=_patience_s(settings))


def running_engine(settings: Settings) -> EngineClient | None:
    """Return a client of the engine, None when none runs now."""
    from stackctl.client.engine_client import EngineClient  # as above
    from stackctl.engines.start import engine_address

    with _permitted():
        address = engine_address(settings.environment)
    return None if address is None else EngineClient(address, patience_s=_patience_s(settings))


def _patience_s(settings: Settings) -> float:
    """Return how long an engine may take to show that it is well. Raises UsageError."""
    text = settings.environment.get("STACKCTL_TIMEOUT") or "30"
    try:
        return max(0.1, float(text))
    except ValueError:
        raise UsageError(f"STACKCTL_TIMEOUT is no number of seconds: {text}") from None


@contextmanager
def _permitted() -> Iterator[None]:
    """Turn a refusal by the file system into an error that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise PrivilegeError(
            f"you may not use this engine: {error.filename}",
            code="engine-permission",
            hint="run the command as the user who started the engine, or as root",
        ) from error
