"""`network`: networks whatever stack they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from stackctl import labels
from stackctl.cli.connect import known_engine, start_engine
from stackctl.cli.prune import prune_networks
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings
from stackctl.errors import NotFound

_SHORT = 12


@click.group()
def network() -> None:
    """Make, list, show and remove networks, whatever stack they are of."""


network.add_command(prune_networks)


@network.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Show ids only.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show them.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
def list_networks(quiet: bool, form: str, no_trunc: bool) -> None:
    """List all networks."""
    client = known_engine(current_settings())
    found = client.networks() if client is not None else []
    if quiet:
        click.echo("".join(f"{_id(one, no_trunc)}\n" for one in found), nl=False)
    elif form == "json":
        click.echo("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in found), nl=False)
    else:
        head = ("NETWORK ID", "NAME", "DRIVER", "SUBNET", "STACK")
        click.echo(table(head, [(_id(one, no_trunc), *_row(one)) for one in found]), nl=False)


@network.command()
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
def inspect(names: tuple[str, ...]) -> None:
    """Show all about networks, as JSON, with the running containers on them."""
    client = known_engine(current_settings())
    found = []
    for name in names:
        if client is None:
            raise _no_such(name)
        found.append(client.network_inspect(name))
    click.echo(json.dumps(found, indent=4))


@network.command()
@click.option("-d", "--driver", default="bridge", metavar="NAME", help="bridge is what there is.")
@click.option("--subnet", default="", metavar="CIDR", help="Its addresses; free ones unless said.")
@click.option("--ip-range", default="", metavar="CIDR", help="Give containers addresses of this part only.")
@click.option("--gateway", default="", metavar="ADDRESS", help="The machine's own address on it.")
@click.option("--internal", is_flag=True, help="No way out of it.")
@click.option("--label", "marks", multiple=True, metavar="KEY=VALUE", help="Put a label on it.")
@click.option("--attachable", is_flag=True, hidden=True)
@click.argument("name", metavar="NETWORK")
def create(
    driver: str,
    subnet: str,
    ip_range: str,
    gateway: str,
    internal: bool,
    marks: tuple[str, ...],
    attachable: bool,
    name: str,
) -> None:
    """Make a network that is no stack's own: stacks use it with `external: true`."""
    del attachable  # every network is
    pool = {key: value for key, value in (("Subnet", subnet), ("IPRange", ip_range), ("Gateway", gateway)) if value}
    wanted = {
        "Name": name,
        "Driver": driver,
        "Internal": internal,
        "IPAM": {"Config": [pool] if pool else []},
        "Labels": pairs(marks),
    }
    click.echo(start_engine(current_settings()).network_create(wanted))


@network.command("rm")
@click.option("-f", "--force", is_flag=True, help="It is no error if there is none of that name.")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
def remove(force: bool, names: tuple[str, ...]) -> None:
    """Remove networks. One that a running container is on is not removed."""
    client = known_engine(current_settings())
    for name in names:
        try:
            if client is None:
                raise _no_such(name)
            client.network_remove(name)
        except NotFound:
            if not force:
                raise
        else:
            click.echo(name)


@network.command()
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name of the container's there.")
@click.option("--ip", "address", default="", metavar="ADDRESS", help="The container's address there.")
@click.argument("name", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
def connect(aliases: tuple[str, ...], address: str, name: str, container: str) -> None:
    """Put a container on a network, as it runs. For one of a stack, better write it into the stack file."""
    client = known_engine(current_settings())
    if client is None:
        raise _no_such(name)
    client.network_connect(name, container, {"Aliases": list(aliases), "IPAMConfig": {"IPv4Address": address}})


@network.command()
@click.option("-f", "--force", is_flag=True, help="It is no error if the container is not on it.")
@click.argument("name", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
def disconnect(force: bool, name: str, container: str) -> None:
    """Take a container off a network, as it runs."""
    client = known_engine(current_settings())
    if client is None:
        raise _no_such(name)
    client.network_disconnect(name, container, force=force)


def pairs(marks: Sequence[str]) -> dict[str, str]:
    """Return labels as given: ``KEY`` alone has an empty value."""
    return {key: value for key, _, value in (mark.partition("=") for mark in marks)}


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    pools = one["IPAM"]["Config"]
    subnet = pools[0].get("Subnet", "") if pools else ""
    return (one["Name"], one["Driver"], subnet, (one.get("Labels") or {}).get(labels.PROJECT, ""))


def _id(one: Mapping[str, Any], no_trunc: bool) -> str:
    return str(one["Id"]) if no_trunc else str(one["Id"])[:_SHORT]


def _no_such(name: str) -> NotFound:
    return NotFound(f"no such network: {name}", code="no-such-network", hint="`stackctl network ls` lists them")
