"""`attach`."""

from __future__ import annotations

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.failure import Failure
from stackctl.cli.options import unsupported
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of, replica
from stackctl.cli.terminal import relay_pipes, relay_terminal


@click.command()
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Which replica.")
@click.option("--no-stdin", is_flag=True, help="Do not pass standard input on.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Send signals on to the container.")
@unsupported("--detach-keys", takes_value=True)
@click.argument("service")
def attach(index: int, no_stdin: bool, sig_proxy: bool, service: str) -> None:
    """Attach this terminal to a running container of a service; exit as its process does.

    Only what is written from now on is shown; `logs` shows what was before.
    """
    settings = current_settings()
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
            relay_terminal(
                stream,
                resize=lambda lines, columns: client.resize_container(container.id, lines, columns),
                has_input=has_input,
            )
        else:
            send = (lambda signal: client.kill_container(container.id, signal)) if sig_proxy else None
            relay_pipes(stream, has_input=has_input, kill=send)
    status = client.wait_container(container.id)
    if status:
        raise Failure(status)
