"""`version`."""

from __future__ import annotations

import click

from stackctl import __version__


@click.command()
@click.option("--short", is_flag=True, help="Show the number only.")
@click.option("-f", "--format", "form", type=click.Choice(("pretty", "json")), default="pretty", help="How to show it.")
def version(short: bool, form: str) -> None:
    """Show the version."""
    if short:
        click.echo(__version__)
    elif form == "json":
        click.echo(f'{{"version":"v{__version__}"}}')
    else:
        click.echo(f"stackctl version {__version__}")
