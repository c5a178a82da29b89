"""`cp`."""

from __future__ import annotations

import os
import posixpath
import sys
from typing import NamedTuple

import click

from stackctl.cli.connect import known_engine
from stackctl.cli.containers import Listed
from stackctl.cli.cp_tar import PackedFiles, Pieces, Readable, unpack
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import project_of
from stackctl.cli.targets import check_services, containers_of
from stackctl.client.engine_client import EngineClient
from stackctl.client.path_stat import PathStat
from stackctl.errors import NotFound, StackctlError, UsageError


class _Side(NamedTuple):
    """One side of a copy; ``service`` is "" for this machine."""

    service: str
    path: str


@click.command()
@click.option("--all", "is_all", is_flag=True, help="Containers of `run`, too.")
@click.option("-a", "--archive", is_flag=True, help="Keep owners and groups.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link in SOURCE leads to.")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Which replica.")
@click.argument("source", metavar="[SERVICE:]SOURCE|-")
@click.argument("target", metavar="[SERVICE:]TARGET|-")
def cp(is_all: bool, archive: bool, follow_link: bool, index: int, source: str, target: str) -> None:
    """Copy files or folders between a container of a service and this machine; - is a tar stream."""
    origin, goal = _side(source), _side(target)
    if bool(origin.service) == bool(goal.service):
        what = "between services" if origin.service else "to and from this machine"
        raise UsageError(f"copying {what} is not supported: one side is SERVICE:PATH", code="not-supported")
    settings = current_settings()
    engine = known_engine(settings)
    project = project_of(settings)
    service = origin.service or goal.service
    containers = containers_of(engine, project, with_oneoffs=is_all)
    check_services(settings, (service,), {container.service for container in containers})
    found = [c for c in containers if c.service == service and index in (0, c.number)]
    if not found or engine is None:
        raise StackctlError(f'no container found for service "{service}"', code="no-container")
    if origin.service:
        _out(engine, found[0], origin.path, goal.path, follows=follow_link, keeps_owner=archive)
        return
    if origin.path == "-" and len(found) > 1:
        found = found[:1]
    for container in found:
        _in(engine, container, origin.path, goal.path, follows=follow_link, keeps_owner=archive)
        print(f" {container.name} Copied {origin.path} to {container.name}:{goal.path}", file=sys.stderr)


def _side(text: str) -> _Side:
    service, colon, path = text.partition(":")
    is_local = not colon or text.startswith(("/", ".")) or "/" in service
    return _Side("", text) if is_local else _Side(service, path)


def _out(
    engine: EngineClient, container: Listed, source: str, target: str, *, follows: bool, keeps_owner: bool
) -> None:
    found, answer = engine.container_archive(container.id, source)
    if follows and found.link_target:
        answer.close()
        source = found.link_target
        found, answer = engine.container_archive(container.id, source)
    if target == "-":
        for piece in answer.pieces():
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        return
    is_content = source.rstrip("/").endswith("/.")
    place = _local_place(target, posixpath.basename(found.name.rstrip("/")), found, is_content=is_content)
    try:
        unpack(Pieces(answer.pieces()), place, keeps_owner=keeps_owner)
    except OSError as error:
        raise StackctlError(f"cannot write {error.filename or place}: {error.strerror}", code="copy-failed") from error
    finally:
        answer.close()
    print(f" {container.name} Copied {container.name}:{source} to {target}", file=sys.stderr)


def _local_place(target: str, name: str, found: PathStat, *, is_content: bool) -> str:
    """Return what the source is to be called here, as `cp` decides it."""
    if os.path.isdir(target):
        return target if is_content else os.path.join(target, name)
    if os.path.lexists(target):
        if found.is_folder:
            raise StackctlError(f"cannot copy a folder over the file {target}", code="copy-kind")
        return target
    if not found.is_folder and target.endswith("/"):
        raise StackctlError(f"no such folder: {target}", code="copy-kind")
    parent = os.path.dirname(target.rstrip("/")) or "."
    if not os.path.isdir(parent):
        raise StackctlError(f"no such folder: {parent}", code="copy-kind")
    return target.rstrip("/")


def _in(engine: EngineClient, container: Listed, source: str, target: str, *, follows: bool, keeps_owner: bool) -> None:
    there = _stat(engine, container.id, target)
    if source == "-":
        if there is None or not there.is_folder:
            raise StackctlError(f'destination "{target}" must be a directory', code="copy-kind")
        _send(engine, container.id, target, sys.stdin.buffer, keeps_owner=keeps_owner)
        return
    path = os.path.realpath(source) if follows else source
    if not os.path.lexists(path):
        raise StackctlError(f"no such file or folder: {source}", code="copy-kind")
    is_folder = os.path.isdir(path) and not (os.path.islink(path.rstrip("/")) and not path.endswith("/"))
    is_content = source.endswith("/.") or source == "."
    folder, name = posixpath.split(target.rstrip("/") or "/")
    if there is not None and there.is_folder:
        folder, name = target, "." if is_content else os.path.basename(os.path.abspath(source))
    elif there is not None and is_folder:
        raise StackctlError(f"cannot copy a folder over the file {target}", code="copy-kind")
    elif there is None and not is_folder and target.endswith("/"):
        raise StackctlError(f"no such folder in the container: {target}", code="copy-kind")
    packed = PackedFiles(path, name, keeps_owner=keeps_owner)
    _send(engine, container.id, folder or "/", packed, keeps_owner=keeps_owner)


def _send(engine: EngineClient, container_id: str, folder: str, stream: Readable, *, keeps_owner: bool) -> None:
    try:
        engine.put_archive(container_id, folder, stream, as_user=keeps_owner)
    except OSError as error:
        raise StackctlError(f"cannot read {error.filename}: {error.strerror}", code="copy-failed") from error


def _stat(engine: EngineClient, container_id: str, path: str) -> PathStat | None:
    """Return what is at the path, what a link there leads to; None for nothing."""
    try:
        found, answer = engine.container_archive(container_id, path)
        answer.close()
        if found.link_target:
            found, answer = engine.container_archive(container_id, found.link_target)
            answer.close()
    except NotFound as error:
        if error.code != "no-such-path":
            raise
        return None
    return found
