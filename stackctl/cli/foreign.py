"""An engine that is not ours, as ``--engine`` or STACKCTL_ENGINE names it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stackctl.cli.hosted import HostedClient
from stackctl.cli.settings import Settings
from stackctl.cli.warnings import tell
from stackctl.client.address import EngineAddress, Kind, parse_engine
from stackctl.client.docker_api import DockerApi
from stackctl.client.http import request
from stackctl.diagnostics import Diagnostic
from stackctl.errors import EngineError

if TYPE_CHECKING:
    from stackctl.client.connection import Dialer
    from stackctl.engines.hosting import StackHost

_LEAST: Final = (1, 41)
_NEWEST: Final = (1, 51)


def foreign_engine(settings: Settings, *, patience_s: float) -> HostedClient:
    """Return a client of the engine, which answers. Raises UsageError, EngineUnreachable, EngineError."""
    address = parse_engine(settings.engine, settings.environment)
    if address.is_exposed:
        tell(settings, [_exposed(address)])
    version = _spoken(address, patience_s)
    dialer: Any = address.dialer
    dialer = replace(dialer, prefix=f"/v{version[0]}.{version[1]}")

    def host() -> StackHost:
        return _stacks(settings, address.kind, dialer, patience_s)

    if address.kind == "swarm":
        from stackctl.cli.swarm_client import SwarmClient  # only for a Swarm

        return SwarmClient(dialer, host, version=version, patience_s=patience_s)
    return HostedClient(dialer, host, version=version, patience_s=patience_s)


def _spoken(address: EngineAddress, patience_s: float) -> tuple[int, int]:
    """Return the version of the API that both sides know. Raises EngineError when there is none."""
    response = request(address.dialer, "GET", "/_ping", patience_s=patience_s)
    response.finish()
    text = response.headers.get("api-version", "")
    major, _, minor = text.partition(".")
    found = (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
    if found < _LEAST:
        what = f"speaks version {text} of Docker's API" if text else "is no Docker Engine"
        raise EngineError(
            f"the engine at {address.dialer} {what}",
            code="engine-too-old",
            hint=f"version {_LEAST[0]}.{_LEAST[1]} at least is needed, which Docker 20.10 has",
        )
    return min(found, _NEWEST)


def _stacks(settings: Settings, kind: Kind, dialer: Dialer, patience_s: float) -> StackHost:
    """Return what plans and applies stacks on the engine, in this process."""
    if kind == "swarm":
        from stackctl.engines.swarm.stacks import swarm_stacks  # as below

        return swarm_stacks(DockerApi(dialer, patience_s=patience_s), settings.environment)
    from stackctl.engines.docker.hosting import docker_stacks  # planner and all: only for what changes stacks

    api = DockerApi(dialer, patience_s=patience_s)
    return docker_stacks(api, settings.environment)


def _exposed(address: EngineAddress) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code="engine-exposed",
        summary="The way to the engine is open to everybody on it",
        detail=f"{address.dialer} is neither encrypted nor does it ask who you are.",
        hint="use ssh://, or TLS with DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
    )
