"""`attach`."""

from __future__ import annotations

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.detach_keys import DEFAULT, parse_keys
from stackctl.cli.failure import Failure
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of, replica
from stackctl.cli.terminal import relay_pipes, relay_terminal


@click.command()
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Which replica.")
@click.option("--no-stdin", is_flag=True, help="Do not pass standard input on.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Send signals on to the container.")
@click.option("--detach-keys", default=DEFAULT, metavar="KEYS", help="Leave it running when these are typed.")
@click.argument("service")
def attach(index: int, no_stdin: bool, sig_proxy: bool, detach_keys: str, service: str) -> None:
    """Attach this terminal to a running container of a service; exit as its process does.

    Only what is written from now on is shown; `logs` shows what was before. From a container with a terminal
    (tty: true) the keys Ctrl-P Ctrl-Q lead back, and it goes on.
    """
    settings = current_settings()
    keys = parse_keys(detach_keys)
    engine = known_engine(settings)
    containers = containers_of(engine, project_of(settings))
    check_services(settings, (service,), {container.service for container in containers})
    container = replica(containers, service, index)
    assert engine is not None  # it has listed the container
    client = engine
    config = client.inspect_container(container.id)["Config"]
    has_input = bool(config.get("OpenStdin")) and not no_stdin
    with client.attach(container.id, stdin=has_input, logs=False) as stream:
        if config.get("Tty"):
            has_left = relay_terminal(
                stream,
                resize=lambda lines, columns: client.resize_container(container.id, lines, columns),
                has_input=has_input,
                detach_keys=keys,
            )
            if has_left:
                return
        else:
            send = (lambda signal: client.kill_container(container.id, signal)) if sig_proxy else None
            relay_pipes(stream, has_input=has_input, kill=send)
    status = client.wait_container(container.id)
    if status:
        raise Failure(status)
