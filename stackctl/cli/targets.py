"""Which containers a command means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stackctl import labels
from stackctl.cli.containers import Listed, in_order
from stackctl.cli.settings import Settings
from stackctl.errors import StackctlError, StackFileError, UsageError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient


def containers_of(engine: EngineClient | None, project: str, *, with_oneoffs: bool = False) -> list[Listed]:
    """Return all containers of a stack, running or not; none when there is no engine."""
    if engine is None:
        return []
    entries = engine.containers(all=True, labels=[f"{labels.PROJECT}={project}"])
    return [container for container in in_order(entries) if with_oneoffs or not container.is_oneoff]


def of_services(settings: Settings, containers: Sequence[Listed], services: Sequence[str]) -> list[Listed]:
    """Return the containers of the services, in their order; of all when none is named.

    A service that has no containers must at least be in the stack file. Raises UsageError otherwise.
    """
    if not services:
        return list(containers)
    check_services(settings, services, {container.service for container in containers})
    return [container for container in containers if container.service in services]


def check_services(settings: Settings, services: Iterable[str], existing: Iterable[str]) -> None:
    """Raise UsageError for a service that has no containers and is not in the stack file either."""
    known = set(existing)
    unknown = [name for name in services if name not in known]
    if unknown:
        defined = _defined(settings)
        for name in unknown:
            if name not in defined:
                raise no_such_service(name, known | defined)


def existing_services(settings: Settings, services: Sequence[str], containers: Sequence[Listed]) -> list[str]:
    """Return those of the services that have containers. Raises UsageError as ``check_services``."""
    existing = {container.service for container in containers}
    check_services(settings, services, existing)
    return [name for name in services if name in existing]


def no_such_service(name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown service, with the name that may have been meant."""
    from difflib import get_close_matches  # only after a mistake

    services = sorted(known)
    likely = get_close_matches(name, services, n=1)
    hint = f"did you mean `{likely[0]}`?" if likely else ""
    if not likely and services:
        hint = f"the stack has {', '.join(services[:12])}{' and more' if len(services) > 12 else ''}"
    return UsageError(f"no such service: {name}", code="no-such-service", hint=hint)


def replica(containers: Sequence[Listed], service: str, index: int) -> Listed:
    """Return the running replica number ``index`` of a service, the first for 0. Raises StackctlError."""
    running = [c for c in containers if c.service == service and c.is_running and not c.is_oneoff]
    chosen = [container for container in running if index in (0, container.number)]
    if not chosen:
        what = f'service "{service}" is not running' + (f" container #{index}" if index else "")
        raise StackctlError(what, code="not-running", hint=f"`stackctl up -d {service}` starts it")
    return chosen[0]


def _defined(settings: Settings) -> set[str]:
    """Return the services of the stack file, disabled ones too; none when no file can be loaded."""
    from stackctl.cli.stack_files import load_document  # the YAML parser: only for names without containers

    try:
        document = load_document(settings, is_quiet=True)
    except StackFileError:
        return set()
    services = document.tree.get("services")
    return {*(services if isinstance(services, dict) else ()), *document.disabled_services}
