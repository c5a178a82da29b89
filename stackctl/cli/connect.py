"""Reaching the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackctl import __version__
from stackctl.cli.settings import Settings
from stackctl.errors import EngineError, PrivilegeError, UsageError
from stackctl.wire.protocol import PROTOCOL

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


def start_engine(settings: Settings) -> EngineClient:
    """Return a client of the engine, started if need be. Raises EngineError, PrivilegeError."""
    if settings.engine:
        return _foreign(settings)
    from stackctl.client.engine_client import EngineClient  # only for commands that talk to the engine
    from stackctl.engines.start import ensure_engine

    with _permitted():
        return _agreeing(EngineClient(ensure_engine(settings.environment), patience_s=_patience_s(settings)), settings)


def known_engine(settings: Settings) -> EngineClient | None:
    """Return a client of the engine, started if need be; None where there never was one: nothing is there then."""
    if settings.engine:
        return _foreign(settings)
    from stackctl.client.engine_client import EngineClient  # as above
    from stackctl.engines.start import known_engine as find

    with _permitted():
        address = find(settings.environment)
        if address is None:
            return None
        return _agreeing(EngineClient(address, patience_s=_patience_s(settings)), settings)


def running_engine(settings: Settings) -> EngineClient | None:
    """Return a client of the engine, None when none runs now."""
    if settings.engine:
        return _foreign(settings)
    from stackctl.client.engine_client import EngineClient  # as above
    from stackctl.engines.start import engine_address

    with _permitted():
        address = engine_address(settings.environment)
        if address is None:
            return None
        return _agreeing(EngineClient(address, patience_s=_patience_s(settings)), settings)


def _foreign(settings: Settings) -> EngineClient:
    from stackctl.cli.foreign import foreign_engine  # only for engines that are not ours

    return foreign_engine(settings, patience_s=_patience_s(settings))


def _agreeing(client: EngineClient, settings: Settings) -> EngineClient:
    """Return ``client`` when the engine speaks as we do; an older engine is restarted from our installation first.

    Raises EngineError when the engine is the newer one.
    """
    spoken = client.protocol()
    if spoken == PROTOCOL:
        return client
    from stackctl.engines.replacing import installation_of, replace_engine  # only where versions differ

    if spoken < PROTOCOL:
        replace_engine(settings.environment, lambda: client.protocol() < PROTOCOL)
        spoken = client.protocol()
        if spoken == PROTOCOL:
            return client
    raise EngineError(
        f"the engine is newer than this stackctl {__version__}: it speaks protocol {spoken}, not {PROTOCOL}",
        code="protocol-version",
        hint=f"upgrade this one, or use the stackctl that the engine runs: {installation_of(settings.environment)}",
    )


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
