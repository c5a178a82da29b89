"""`image build`: an image of a folder, without a stack."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.connect import start_engine
from stackctl.cli.options import unsupported
from stackctl.cli.settings import Settings, current_settings
from stackctl.errors import ImageError, UsageError

if TYPE_CHECKING:
    from stackctl.cli.contexts import Context


@click.command("build")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="What the image is called.")
@click.option(
    "-f", "--file", "dockerfile", default="", metavar="FILE", help="The Dockerfile, if not FOLDER/Dockerfile."
)
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME[=VALUE]", help="Set an ARG.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Add a label.")
@click.option("--target", default="", metavar="STAGE", help="Build up to this stage.")
@click.option("--network", type=click.Choice(("default", "none", "host")), default="default", help="For commands.")
@click.option("--no-cache", is_flag=True, help="Do every step again.")
@click.option("--pull", is_flag=True, help="Ask registries for newer base images.")
@click.option("-q", "--quiet", is_flag=True, help="Only print the image's id.")
@unsupported("--secret", takes_value=True)
@unsupported("--ssh", takes_value=True)
@unsupported("--build-context", takes_value=True)
@unsupported("-o", "--output", takes_value=True)
@unsupported("--push")
@click.argument("folder", metavar="FOLDER")
def build(folder: str, dockerfile: str, quiet: bool, **given: Any) -> None:
    """Build an image of a folder with a Dockerfile."""
    from stackctl.cli.contexts import ContextTar
    from stackctl.cli.warnings import tell

    settings = current_settings()
    context, name = _context(settings, folder, dockerfile)
    if not quiet:
        tell(settings, context.check())
    query: dict[str, Any] = {
        "dockerfile": name,
        "target": given["target"],
        "networkmode": given["network"],
        "nocache": int(given["no_cache"]),
        "pull": int(given["pull"]),
        "q": int(quiet),
        "buildargs": json.dumps(dict(_argument(settings, text) for text in given["arguments"])),
        "labels": json.dumps(dict(_label(text) for text in given["labels"])),
    }
    engine = start_engine(settings)
    for message in engine.image_build(ContextTar(context), tags=given["tags"], query=query):
        _say(message, shown=context.shown, name=name)


def _context(settings: Settings, folder: str, dockerfile: str) -> tuple[Context, str]:
    """Return the context, with the Dockerfile in it, and the Dockerfile's path there."""
    from stackctl.cli.contexts import read_context, with_dockerfile

    # A Dockerfile is named from where the user is, not from the folder.
    path = os.path.abspath(os.path.join(settings.cwd, dockerfile)) if dockerfile else "Dockerfile"
    found = read_context(settings, os.path.join(settings.cwd, folder), path)
    return with_dockerfile(found)


def _say(message: Mapping[str, Any], *, shown: str, name: str) -> None:
    """Show a message of a build. Raises ImageError for one that reports a failure."""
    failure = message.get("error") or (message.get("errorDetail") or {}).get("message")
    if failure:
        raise ImageError(str(failure).replace(f"{name}:", f"{shown}:"), code="build-failed")
    sys.stdout.write(str(message.get("stream") or message.get("status") or ""))
    sys.stdout.flush()


def _argument(settings: Settings, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"invalid --build-arg: {text!r}", hint="write --build-arg NAME=VALUE")
    return name, value if equals else settings.environment.get(name, "")


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise UsageError(f"invalid --label: {text!r}", hint="write --label KEY=VALUE")
    return key, value
