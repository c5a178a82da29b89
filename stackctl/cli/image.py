"""`image`: what containers are made from."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from stackctl.cli.connect import known_engine, start_engine
from stackctl.cli.image_build import build
from stackctl.cli.options import unsupported
from stackctl.cli.render.durations import ago
from stackctl.cli.render.sizes import size_text
from stackctl.cli.render.style import without_controls
from stackctl.cli.render.table import table
from stackctl.cli.settings import current_settings
from stackctl.errors import ImageError, NotFound, UsageError
from stackctl.model.image import parse_image_ref

if TYPE_CHECKING:
    from stackctl.client.http import Readable


_SHOWN: Final = 45
_platform = click.option(
    "--platform", default="", metavar="OS/ARCH", help="For this platform instead of the machine's."
)


@click.group()
def image() -> None:
    """Pull, build, load, import, list, tag and remove images."""


image.add_command(build)


@image.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Show ids only.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show them.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
def list_images(quiet: bool, form: str, no_trunc: bool) -> None:
    """List images."""
    client = known_engine(current_settings())
    images: list[Mapping[str, Any]] = list(client.images()) if client is not None else []
    if quiet:
        click.echo("".join(f"{_id(found, no_trunc)}\n" for found in images), nl=False)
    elif form == "json":
        click.echo("".join(json.dumps(found) + "\n" for found in images), nl=False)
    else:
        rows = [row for found in images for row in _rows(found, no_trunc)]
        click.echo(table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), rows), nl=False)


@image.command()
@click.option("-i", "--input", "source", default="-", metavar="FILE", help="Archive; - reads standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was loaded.")
@_platform
def load(source: str, quiet: bool, platform: str) -> None:
    """Load images from an archive of `docker save` or an OCI layout."""
    settings = current_settings()
    with _opened(source) as stream:
        for message in start_engine(settings).image_load(stream, platform):
            _say(message, is_quiet=quiet)


@image.command("import")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help='As in a Dockerfile: CMD ["sh"].')
@click.option("-m", "--message", default="", metavar="TEXT", help="What its history says of it.")
@_platform
@click.argument("source", metavar="FILE|-")
@click.argument("reference", required=False, default="", metavar="[NAME[:TAG]]")
def import_image(changes: tuple[str, ...], message: str, platform: str, source: str, reference: str) -> None:
    """Make an image of a tar archive of a root file system."""
    settings = current_settings()
    with _opened(source) as stream:
        engine = start_engine(settings)
        for said in engine.image_import(stream, reference, changes, platform=platform, message=message):
            _say(said, is_quiet=False)


@image.command()
@click.option("-f", "--force", is_flag=True, help="Remove it although containers use it.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
def rm(force: bool, names: tuple[str, ...]) -> None:
    """Remove images."""
    client = known_engine(current_settings())
    for name in names:
        if client is None:
            raise NotFound(f"no such image: {name}")
        for entry in client.image_remove(name, force=force):
            for what, which in entry.items():
                click.echo(f"{what}: {which}")


@image.command()
@click.option("--platform", default="", metavar="OS/ARCH", help="For this platform instead of the machine's.")
@click.option("-q", "--quiet", is_flag=True, help="Only say what the image is called.")
@unsupported("-a", "--all-tags")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def pull(platform: str, quiet: bool, name: str) -> None:
    """Pull an image from its registry."""
    from stackctl.cli.pulling import Wanted, pull_all  # 30 ms: only for pulls
    from stackctl.cli.screen import open_screen

    settings = current_settings()
    engine = start_engine(settings)
    with open_screen(settings, "pull", is_quiet=quiet) as screen:
        (ended,) = pull_all(settings, engine, (Wanted(name, platform),), screen)
    if ended.error is not None:
        raise ended.error
    if not quiet:
        click.echo(f"Digest: {ended.digest}\n{ended.status}")
    click.echo(str(parse_image_ref(name)))


@image.command()
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.argument("name", metavar="NAME[:TAG]")
def push(quiet: bool, name: str) -> None:
    """Push an image to the registry that its name says."""
    from stackctl.cli.pushing import push_image  # 30 ms: only for registries
    from stackctl.cli.screen import open_screen

    settings = current_settings()
    engine = start_engine(settings)
    with open_screen(settings, "push", is_quiet=quiet) as screen:
        digest = push_image(settings, engine, name, screen)
    if not quiet:
        click.echo(f"Digest: {digest}")


@image.command()
@click.argument("name", metavar="IMAGE")
@click.argument("new_name", metavar="NAME[:TAG]")
def tag(name: str, new_name: str) -> None:
    """Give an image another name."""
    client = known_engine(current_settings())
    if client is None:
        raise NotFound(f"no such image: {name}")
    client.image_tag(name, new_name)


@image.command()
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show it.")
@click.option("--no-trunc", is_flag=True, help="Show all of each step.")
@click.option("-q", "--quiet", is_flag=True, help="Show ids only.")
@click.argument("name", metavar="IMAGE")
def history(form: str, no_trunc: bool, quiet: bool, name: str) -> None:
    """Show how an image was made, the last step first."""
    client = known_engine(current_settings())
    if client is None:
        raise NotFound(f"no such image: {name}")
    steps = client.image_history(name)
    if quiet:
        click.echo("".join(f"{_id(step, no_trunc)}\n" for step in steps), nl=False)
    elif form == "json":
        click.echo("".join(json.dumps(step) + "\n" for step in steps), nl=False)
    else:
        rows = [_step(step, no_trunc) for step in steps]
        click.echo(table(("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"), rows), nl=False)


@image.command()
@click.option("-a", "--all", "wants_all", is_flag=True, help="Also images that have a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
def prune(wants_all: bool, force: bool) -> None:
    """Remove images that no container uses: those without a name."""
    client = known_engine(current_settings())
    what = "all images that no container uses" if wants_all else "all images without a name that no container uses"
    if not force and not click.confirm(f"This removes {what}. Go on?", err=True):
        return
    found = client.image_prune(all=wants_all) if client is not None else {}
    for entry in found.get("ImagesDeleted") or ():
        for verb, which in entry.items():
            click.echo(f"{verb.lower()}: {which}")
    click.echo(f"Total reclaimed space: {size_text(int(found.get('SpaceReclaimed') or 0))}")


@image.command()
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
def inspect(names: tuple[str, ...]) -> None:
    """Show all about images, as JSON."""
    client = known_engine(current_settings())
    found = []
    for name in names:
        if client is None:
            raise NotFound(f"no such image: {name}")
        found.append(client.image_inspect(name))
    click.echo(json.dumps(found, indent=4, ensure_ascii=False))


@contextmanager
def _opened(source: str) -> Iterator[Readable]:
    if source == "-":
        if sys.stdin.isatty():
            raise UsageError("standard input is a terminal: name a file, or pipe an archive in")
        # Not sys.stdin.buffer: should a thread still wait in it when we end, Python aborts over its lock.
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
            yield stream
        return
    if not os.path.isfile(source) or not os.access(source, os.R_OK):
        raise ImageError(f"cannot read {source}: there is no such file, or it may not be read")
    with open(source, "rb") as file:
        yield file


def _say(message: Mapping[str, Any], *, is_quiet: bool) -> None:
    """Show a message of a load or import. Raises ImageError for one that reports a failure."""
    failure = message.get("error") or (message.get("errorDetail") or {}).get("message")
    if failure:
        raise ImageError(str(failure))
    text = message.get("stream") or message.get("status") or ""
    if text and not is_quiet:
        click.echo(text.rstrip("\n"))


def _id(found: Mapping[str, Any], no_trunc: bool) -> str:
    full = str(found.get("Id") or "")
    return full if no_trunc else full.removeprefix("sha256:")[:12]


def _step(step: Mapping[str, Any], no_trunc: bool) -> tuple[str, ...]:
    made_by = without_controls(str(step.get("CreatedBy") or ""))
    if not no_trunc and len(made_by) > _SHOWN:
        made_by = made_by[: _SHOWN - 1] + "…"
    created = ago(float(step["Created"]), time.time()) if step.get("Created") else "N/A"
    comment = without_controls(str(step.get("Comment") or ""))
    return (_id(step, no_trunc), created, made_by, size_text(int(step.get("Size") or 0)), comment)


def _rows(found: Mapping[str, Any], no_trunc: bool) -> Iterator[tuple[str, ...]]:
    created = ago(float(found.get("Created") or 0), time.time())
    rest = (_id(found, no_trunc), created, size_text(int(found.get("Size") or 0)))
    for name in found.get("RepoTags") or ["<none>:<none>"]:
        repository, _, tag = name.rpartition(":")
        yield (repository, tag, *rest)
