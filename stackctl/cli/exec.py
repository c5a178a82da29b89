"""`exec`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stackctl.cli import declared
from stackctl.cli.connect import known_engine
from stackctl.cli.failure import Failure, as_shells_exit
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of, replica
from stackctl.cli.terminal import is_terminal, relay_pipes, relay_terminal


@declared.command(passes_on=True)
@declared.flag("-d", "--detach", help="Leave it running in the background.")
@declared.options("-e", "--env", "environment", metavar="KEY[=VALUE]", help="Set a variable.")
@declared.option("--index", type=declared.Whole(0), default=0, metavar="N", help="Which replica.")
@declared.flag("-T", "--no-tty", help="No terminal, though there is one.")
@declared.flag("-t", "--tty", "wants_tty", help="A terminal, though there is none.")
@declared.switch("-i", "--interactive", opposite="--no-interactive", help="Pass standard input on.")
@declared.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Who runs it.")
@declared.option("-w", "--workdir", default="", metavar="DIR", help="Where it runs.")
@declared.flag("--privileged", help="Give it all privileges.")
@declared.argument("service")
@declared.rest("command", required=True)
def exec_(
    detach: bool,
    environment: tuple[str, ...],
    index: int,
    no_tty: bool,
    wants_tty: bool,
    interactive: bool,
    user: str,
    workdir: str,
    privileged: bool,
    service: str,
    command: tuple[str, ...],
) -> None:
    """Run a command in a running container of a service."""
    settings = current_settings()
    has_tty = not detach and choose_tty(no_tty=no_tty, wants_tty=wants_tty)
    engine = known_engine(settings)
    containers = containers_of(engine, project_of(settings))
    check_services(settings, (service,), {container.service for container in containers})
    container = replica(containers, service, index)
    assert engine is not None  # it has listed the container
    client = engine
    exec_id = client.exec_create(
        container.id,
        command,
        env=variables(settings, environment),
        user=user,
        workdir=workdir,
        tty=has_tty,
        stdin=interactive and not detach,
        detach=detach,
        privileged=privileged,
    )
    if detach:
        with as_shells_exit():
            client.exec_start_detached(exec_id)
        return
    with as_shells_exit(), client.exec_start(exec_id, has_tty) as stream:
        if has_tty:
            relay_terminal(
                stream,
                resize=lambda lines, columns: client.resize_exec(exec_id, lines, columns),
                has_input=interactive,
            )
        else:
            relay_pipes(stream, has_input=interactive, kill=None)
    status = int(client.exec_inspect(exec_id).get("ExitCode") or 0)
    if status:
        raise Failure(status)


def choose_tty(*, no_tty: bool, wants_tty: bool) -> bool:
    """Return whether the process gets a terminal: when asked for, else when input and output both are one.

    With output into a pipe or file a terminal would put carriage returns there.
    """
    if no_tty:
        return False
    return wants_tty or (is_terminal(sys.stdin) and is_terminal(sys.stdout))


def variables(settings: Settings, given: Sequence[str]) -> list[str]:
    """Return ``KEY=VALUE`` for each; one without a value is taken from the environment, or left out."""
    found = []
    for entry in given:
        key, equals, _ = entry.partition("=")
        if equals:
            found.append(entry)
        elif key in settings.environment:
            found.append(f"{key}={settings.environment[key]}")
    return found
