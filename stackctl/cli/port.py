"""`port`."""

from __future__ import annotations

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.render.ports import host_text, ports_of
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of, replica
from stackctl.errors import NotFound


@click.command()
@click.option("--protocol", type=click.Choice(("tcp", "udp")), default="tcp", help="tcp or udp.")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Which replica.")
@click.argument("service")
@click.argument("private_port", type=click.IntRange(1, 65535), required=False, metavar="[PORT]")
def port(protocol: str, index: int, service: str, private_port: int | None) -> None:
    """Show where a port of a service is published, or where all of them are."""
    settings = current_settings()
    containers = containers_of(known_engine(settings), project_of(settings))
    check_services(settings, (service,), {container.service for container in containers})
    published = [entry for entry in ports_of(replica(containers, service, index).entry) if entry.public]
    if private_port is None:
        for entry in published:
            click.echo(f"{entry.private}/{entry.protocol} -> {host_text(entry.ip)}:{entry.public}")
        return
    for entry in published:
        if (entry.private, entry.protocol) == (private_port, protocol):
            click.echo(f"{host_text(entry.ip)}:{entry.public}")
            return
    have = ", ".join(dict.fromkeys(f"{entry.private}/{entry.protocol}" for entry in published))
    raise NotFound(
        f"port {private_port}/{protocol} of service {service} is not published",
        code="port-not-published",
        hint=f"published are {have}" if have else "the service publishes no port",
    )
