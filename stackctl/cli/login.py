"""`login` and `logout`."""

from __future__ import annotations

import sys

import click

from stackctl.cli.connect import start_engine
from stackctl.cli.credentials import Logins, registry_named
from stackctl.cli.settings import current_settings
from stackctl.errors import UsageError
from stackctl.model.registry import Credentials
from stackctl.wire.credentials import credentials_to_json


@click.command()
@click.option("-u", "--username", default="", metavar="NAME", help="Who you are to the registry.")
@click.option("-p", "--password", default="", metavar="TEXT", help="Password; others may see it: better is the next.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.argument("server", default="", required=False, metavar="[SERVER]")
def login(username: str, password: str, password_stdin: bool, server: str) -> None:
    """Log in to a registry, Docker Hub unless another is named.

    The login is kept where Docker keeps it: with the credential helper that ~/.docker/config.json names, or in
    that file.
    """
    settings = current_settings()
    if password and password_stdin:
        raise UsageError("--password and --password-stdin exclude each other")
    if password_stdin and not username:
        raise UsageError("--password-stdin needs --username")
    registry = registry_named(server)
    if not username:
        username = _ask("Username")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        password = _ask("Password", is_hidden=True)
    credentials = Credentials(username, password)
    start_engine(settings).log_in(credentials_to_json(credentials, registry))
    where = Logins(settings.environment).keep(registry, credentials)
    if where:
        click.echo(f"the login is kept unencrypted in {where}; a credential helper would not", err=True)
    click.echo("Login Succeeded")


@click.command()
@click.argument("server", default="", required=False, metavar="[SERVER]")
def logout(server: str) -> None:
    """Forget the login to a registry, Docker Hub unless another is named."""
    registry = registry_named(server)
    if Logins(current_settings().environment).forget(registry):
        click.echo(f"Removed the login to {registry}")
    else:
        click.echo(f"Not logged in to {registry}")


def _ask(what: str, *, is_hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        raise UsageError("standard input is no terminal to ask at", hint="give --username and --password-stdin")
    answer: str = click.prompt(what, hide_input=is_hidden, err=True)
    return answer
