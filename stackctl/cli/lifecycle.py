"""`start`, `stop`, `restart`, `kill`: containers that exist."""

from __future__ import annotations

import sys
from typing import Any

from stackctl.cli import declared
from stackctl.cli.changing import change_existing
from stackctl.cli.connect import known_engine
from stackctl.cli.requests import Verb
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import containers_of, existing_services
from stackctl.errors import StackctlError, UsageError


@declared.command()
@declared.flag("--wait", help="Wait until all run and are healthy.")
@declared.option("--wait-timeout", type=declared.Number(0), default=0.0, metavar="SECONDS", help="How long.")
@declared.services
def start(wait: bool, wait_timeout: float, services: tuple[str, ...]) -> None:
    """Start containers that exist, and those they depend on."""
    if not _change("start", services, wait=wait, wait_timeout_s=wait_timeout):
        raise _no_container("the stack")
    if wait:
        from stackctl.cli.waited import check_all_run  # only with --wait

        settings = current_settings()
        engine = known_engine(settings)
        assert engine is not None  # it has started them
        check_all_run(engine, project_of(settings), services)


@declared.command()
@declared.timeout
@declared.services
def stop(timeout: float | None, services: tuple[str, ...]) -> None:
    """Stop containers; they stay, and `start` starts them again."""
    _change("stop", services, timeout_s=timeout)


@declared.command()
@declared.timeout
@declared.flag("--no-deps", help="Leave services that want to be restarted along alone.")
@declared.services
def restart(timeout: float | None, no_deps: bool, services: tuple[str, ...]) -> None:
    """Stop and start containers as they are; changes of the files are for `up`."""
    _change("restart", services, timeout_s=timeout, no_deps=no_deps)


@declared.command()
@declared.option("-s", "--signal", default="SIGKILL", metavar="SIGNAL", help="The signal to send.")
@declared.flag("--remove-orphans", hidden=True)
@declared.services
def kill(signal: str, remove_orphans: bool, services: tuple[str, ...]) -> None:
    """Send a signal to running containers, those of `run` too."""
    if not _change("kill", services, signal=_signal_name(signal), remove_orphans=remove_orphans):
        print("No container to kill", file=sys.stderr)


def _change(verb: Verb, services: tuple[str, ...], **options: Any) -> bool:
    """Perform the verb; return whether there was any container it could be about."""
    settings = current_settings()
    project = project_of(settings)
    engine = known_engine(settings)
    containers = containers_of(engine, project, with_oneoffs=verb == "kill")
    named = existing_services(settings, services, containers)
    missing = [name for name in services if name not in named]
    if verb == "start" and missing:
        raise _no_container(f'service "{missing[0]}"')
    if engine is None or not containers or (missing and not named):
        return False
    change_existing(settings, engine, project, verb, containers, services=tuple(named), **options)
    return True


def _no_container(what: str) -> StackctlError:
    return StackctlError(
        f"{what} has no container to start", code="no-container", hint="`stackctl up` creates containers"
    )


def _signal_name(text: str) -> str:
    """Return ``SIGHUP`` for ``HUP``, ``hup``, ``1``; ``RTMIN+1`` is left for the engine to know. Raises UsageError."""
    import signal  # only here

    name = text.upper().removeprefix("SIG")
    if name.startswith("RT"):
        return f"SIG{name}"
    try:
        return signal.Signals(int(text)).name if text.isdecimal() else signal.Signals[f"SIG{name}"].name
    except (ValueError, KeyError):
        raise UsageError(f"unknown signal: {text}", hint="`kill -l` lists them") from None
