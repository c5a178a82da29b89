"""`config`."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.options import unsupported
from stackctl.cli.settings import Settings, current_settings
from stackctl.cli.stack_files import load_request, loaded_document
from stackctl.errors import UsageError

if TYPE_CHECKING:
    from stackctl.stackfile.document import Document

_LISTS = ("services", "volumes", "networks", "images", "profiles")


@click.command()
@click.option("--format", "form", type=click.Choice(("yaml", "json")), default="yaml", help="How to print it.")
@click.option("-q", "--quiet", is_flag=True, help="Only check: print nothing but what is wrong.")
@click.option("-o", "--output", default="", metavar="FILE", help="Write to a file.")
@click.option("--services", "list_services", is_flag=True, help="List services.")
@click.option("--volumes", "list_volumes", is_flag=True, help="List volumes.")
@click.option("--networks", "list_networks", is_flag=True, help="List networks.")
@click.option("--images", "list_images", is_flag=True, help="List images.")
@click.option("--profiles", "list_profiles", is_flag=True, help="List profiles.")
@click.option("--no-interpolate", is_flag=True, help="Leave variables as they are written.")
@click.option("--no-normalize", is_flag=True, help="Add no defaults.")
@click.option("--no-path-resolution", is_flag=True, help="Leave relative paths as they are written.")
@click.option("--no-env-resolution", is_flag=True, help="Leave env_file as it is written.")
@click.option("--no-consistency", is_flag=True, help="Skip the checks between parts of the file.")
@unsupported("--hash", takes_value=True)
@unsupported("--variables")
@unsupported("--environment")
@unsupported("--models")
@unsupported("--resolve-image-digests")
@unsupported("--lock-image-digests")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def config(form: str, quiet: bool, output: str, services: tuple[str, ...], **flags: bool) -> None:
    """Check the stack files and print what they come to."""
    settings = current_settings()
    if services:
        raise UsageError("config of single services is not supported yet", code="not-supported")
    wanted = [name for name in _LISTS if flags[f"list_{name}"]]
    document = _load(settings, flags, is_list="profiles" in wanted)
    if quiet:
        return
    if wanted:
        text = "".join(f"{line}\n" for line in _listed(document, wanted[0]))
    else:
        from stackctl.stackfile.render import config_text  # not for lists

        text = config_text(document, "json" if form == "json" else "yaml", is_interpolated=not flags["no_interpolate"])
        text = text if text.endswith("\n") else text + "\n"
    if output:
        with open(os.path.join(settings.cwd, output), "w", encoding="utf-8") as file:
            file.write(text)
    else:
        click.echo(text, nl=False)


def _load(settings: Settings, flags: dict[str, bool], *, is_list: bool) -> Document:
    request = replace(
        load_request(settings),
        is_interpolated=not flags["no_interpolate"],
        is_normalised=not flags["no_normalize"],
        has_absolute_paths=not flags["no_path_resolution"],
        has_resolved_environment=not flags["no_env_resolution"],
        is_checked=not flags["no_consistency"],
        has_contents=False,
    )
    if is_list:  # of all profiles there are, not of those in force
        request = replace(request, profiles=("*",))
    return loaded_document(settings, request)


def _listed(document: Document, what: str) -> list[str]:
    services = _entries(document.tree.get("services"))
    if what == "images":
        return [str(service.get("image") or f"{document.name}-{name}") for name, service in services.items()]
    if what == "profiles":
        return sorted({str(profile) for service in services.values() for profile in service.get("profiles") or ()})
    return list(_entries(document.tree.get(what)))


def _entries(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict):
        return {}
    return {key: entry if isinstance(entry, dict) else {} for key, entry in value.items()}
