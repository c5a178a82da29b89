"""`schema`."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--format", "form", type=click.Choice(("json", "markdown")), default="json", help="How to show it.")
def schema(form: str) -> None:
    """Print the JSON Schema of stack files, for editors, or a reference of all keys."""
    if form == "json":
        from stackctl.stackfile.schema import load_schema  # only here

        click.echo(json.dumps(load_schema(), indent=2, ensure_ascii=False))
    else:
        from stackctl.stackfile.reference import reference  # only here

        click.echo(reference(), nl=False)
