"""`volume`: volumes whatever stack they are of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

from stackctl import labels
from stackctl.cli.connect import known_engine, start_engine
from stackctl.cli.network import pairs
from stackctl.cli.prune import prune_volumes
from stackctl.cli.render.sizes import size_text
from stackctl.cli.render.table import table
from stackctl.cli.settings import Settings, current_settings
from stackctl.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient
    from stackctl.engines.docker_volumes import DockerVolume


@click.group()
def volume() -> None:
    """Make, list, show, save, bring in and remove volumes, whatever stack they are of."""


volume.add_command(prune_volumes)


@volume.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Show names only.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="How to show them.")
def list_volumes(quiet: bool, form: str) -> None:
    """List all volumes."""
    client = known_engine(current_settings())
    found = client.volumes() if client is not None else []
    if quiet:
        click.echo("".join(f"{one['Name']}\n" for one in found), nl=False)
    elif form == "json":
        click.echo("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in found), nl=False)
    else:
        rows = [(one["Driver"], one["Name"], (one.get("Labels") or {}).get(labels.PROJECT, "")) for one in found]
        click.echo(table(("DRIVER", "VOLUME NAME", "STACK"), rows), nl=False)


@volume.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def inspect(names: tuple[str, ...]) -> None:
    """Show all about volumes, as JSON."""
    client = known_engine(current_settings())
    click.echo(json.dumps([_found(client, name) for name in names], indent=4))


@volume.command()
@click.option("-d", "--driver", default="local", metavar="NAME", help="local is what there is.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="type=none, o=bind, device=/path.")
@click.option("--label", "marks", multiple=True, metavar="KEY=VALUE", help="Put a label on it.")
@click.argument("name", required=False, default="", metavar="[NAME]")
def create(driver: str, options: tuple[str, ...], marks: tuple[str, ...], name: str) -> None:
    """Make a volume that is no stack's own: stacks use it with `external: true`."""
    client = start_engine(current_settings())
    made = client.volume_create(name, pairs(marks), driver=driver, options=pairs(options))
    click.echo(made["Name"])


@volume.command("rm")
@click.option("-f", "--force", is_flag=True, help="It is no error if there is none of that name.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(force: bool, names: tuple[str, ...]) -> None:
    """Remove volumes with all they hold. One that a container has is not removed."""
    client = known_engine(current_settings())
    for name in names:
        if client is not None and (not force or _there(client, name)):
            _remove(client, name)
            click.echo(name)
        elif not force:
            raise _no_such(name)


@volume.command("import")
@click.option("--from-docker", "source", required=True, metavar="NAME", help="The volume in the Docker Engine's data.")
@click.option("--docker-root", default="", metavar="DIR", help="Docker's data root; /var/lib/docker unless said.")
@click.option("--as", "name", default="", metavar="NAME", help="Name of the copy; the same unless said.")
@click.option("--force", is_flag=True, help="Copy although containers of Docker are using it.")
def import_volume(source: str, docker_root: str, name: str, force: bool) -> None:
    """Copy a volume out of a Docker Engine's data root, which is only read; Docker need not run.

    Owners, modes, times, extended attributes, holes and hard links are kept. A volume of Docker Compose's belongs
    to the stack of the same name from then on, unless it gets another name.
    """
    from stackctl.engines.docker_volumes import DEFAULT_ROOT, find_volume, users_of  # only for this

    settings = current_settings()
    client = start_engine(settings)
    root = os.path.abspath(os.path.join(settings.cwd, docker_root or DEFAULT_ROOT))
    found = find_volume(root, source)
    users = users_of(root, source)
    if users and not force:
        raise Conflict(
            f"Docker's volume {source} is being used by {', '.join(users)}",
            code="volume-in-use",
            hint="stop them first (`docker stop`), so that the copy is whole; or copy it as it is with --force",
        )
    if users:
        click.echo(f"{', '.join(users)} may be writing while it is copied", err=True)
    files, size = _copy(client, found, name or source)
    click.echo(f"{name or source}: {files} file{'s' * (files != 1)}, {size_text(size)}")


@volume.command()
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to; - writes to standard output.")
@click.argument("name", metavar="NAME")
def export(output: str, name: str) -> None:
    """Write all that a volume holds into a tar archive, with owners by number."""
    import tarfile  # 10 ms: only for this

    settings = current_settings()
    mountpoint = str(_found(known_engine(settings), name)["Mountpoint"])
    with _opened(settings, output) as file, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(mountpoint, arcname=".", filter=lambda member: _with_attributes(member, mountpoint))


def _remove(client: EngineClient, name: str) -> None:
    try:
        client.volume_remove(name)
    except Conflict as error:
        said = error.message.rpartition(": ")[2]  # without what the API's clients expect before it
        raise Conflict(said, code="volume-in-use", hint="remove that container first; it may have ended") from error


def _copy(client: EngineClient, source: DockerVolume, name: str) -> tuple[int, int]:
    """Make the volume and fill it; of one that could not be filled nothing stays. Returns files and bytes."""
    from stackctl.engines.copy_tree import copy_tree  # as above

    if _there(client, name):
        raise Conflict(
            f"there is a volume {name} already", code="volume-exists", hint="remove it, or give the copy a name by --as"
        )
    marks = dict(source.labels)
    if name != source.name:  # under another name it is no longer the stack's: that would take it down with -v
        marks = {key: value for key, value in marks.items() if not key.startswith(labels.PREFIX)}
    made = client.volume_create(name, marks)
    try:
        copied = copy_tree(source.folder, str(made["Mountpoint"]))
    except BaseException:
        client.volume_remove(name)
        raise
    os.sync()  # what is said to be here is on the disk: the original may be deleted next
    return copied.files, copied.bytes


def _there(client: EngineClient, name: str) -> bool:
    try:
        client.volume_inspect(name)
    except NotFound:
        return False
    return True


def _found(client: EngineClient | None, name: str) -> Mapping[str, Any]:
    if client is None:
        raise _no_such(name)
    return client.volume_inspect(name)


def _no_such(name: str) -> NotFound:
    return NotFound(f"no such volume: {name}", code="no-such-volume", hint="`stackctl volume ls` lists them")


def _with_attributes(member: Any, mountpoint: str) -> Any:
    """Add extended attributes, as GNU tar and ours write them; names of owners mean nothing elsewhere."""
    member.uname = member.gname = ""
    path = os.path.join(mountpoint, member.name)
    for name in os.listxattr(path, follow_symlinks=False):
        value = os.getxattr(path, name, follow_symlinks=False)
        member.pax_headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return member


@contextmanager
def _opened(settings: Settings, output: str) -> Iterator[IO[bytes]]:
    if output != "-":
        with open(os.path.join(settings.cwd, output), "wb") as file:
            yield file
        return
    if sys.stdout.isatty():
        raise UsageError("an archive is nothing for a terminal", hint="write it into a file: -o FILE, or > FILE")
    yield sys.stdout.buffer
