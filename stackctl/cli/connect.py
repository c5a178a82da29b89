"""Reaching the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.cli.settings import Settings

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


def start_engine(settings: Settings) -> EngineClient:
    """Return a client of the engine, started if need be. Raises EngineError, PrivilegeError."""
    from stackctl.client.engine_client import EngineClient  # only for commands that talk to the engine
    from stackctl.engines.start import ensure_engine

    return EngineClient(ensure_engine(settings.environment))


def running_engine(settings: Settings) -> EngineClient | None:
    """Return a client of the engine, None when none runs: then nothing of it runs either."""
    from stackctl.client.engine_client import EngineClient  # as above
    from stackctl.engines.start import engine_address

    address = engine_address(settings.environment)
    return None if address is None else EngineClient(address)
