"""`pull`: the images of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from stackctl.cli.connect import start_engine
from stackctl.cli.options import services_argument
from stackctl.cli.pulling import Wanted, pull_all
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import load_document
from stackctl.model.image import HOST_IMAGE

_BUILT_IN: Final = (HOST_IMAGE, f"{HOST_IMAGE}:latest")


@click.command()
@click.option("--ignore-pull-failures", is_flag=True, help="Pull what can be pulled.")
@click.option("--include-deps", is_flag=True, help="Pull what the named services depend on, too.")
@click.option("--policy", type=click.Choice(("missing", "always")), default=None, help="Which images; all unless said.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--ignore-buildable", is_flag=True, help="Leave images that can be built alone.")
@services_argument
def pull(
    services: tuple[str, ...],
    ignore_pull_failures: bool,
    include_deps: bool,
    policy: str | None,
    quiet: bool,
    ignore_buildable: bool,
) -> None:
    """Pull the images of the stack's services from their registries."""
    settings = current_settings()
    document = load_document(settings, services)
    tree = document.tree.get("services")
    known: Mapping[str, Any] = tree if isinstance(tree, dict) else {}
    chosen = with_dependencies(known, services) if include_deps else services or tuple(known)
    engine = start_engine(settings)
    images = engine.images() if policy == "missing" or any(_policy(known[name]) == "missing" for name in chosen) else []
    present = {name for image in images for name in image.get("RepoTags") or ()}
    wanted: dict[Wanted, None] = {}
    for name in chosen:
        service = known[name]
        image = str(service.get("image") or "")
        rule = policy or _policy(service)
        is_left = not image or image in _BUILT_IN or rule in ("never", "build")
        is_left = is_left or (ignore_buildable and bool(service.get("build")))
        is_there = image in present or f"{image}:latest" in present
        if not is_left and not (rule == "missing" and is_there):
            wanted[Wanted(image, str(service.get("platform") or ""))] = None
    with open_screen(settings, "pull", is_quiet=quiet) as screen:
        ended = pull_all(settings, engine, tuple(wanted), screen)
    failed = [end.error for end in ended if end.error is not None]
    if failed and not ignore_pull_failures:
        raise failed[0]


def _policy(service: Mapping[str, Any]) -> str:
    """Return what the service says: nothing means that `pull` pulls."""
    text = str(service.get("pull_policy") or "always")
    return "missing" if text == "if_not_present" else text


def with_dependencies(known: Mapping[str, Any], services: tuple[str, ...]) -> tuple[str, ...]:
    """Return the services, all when none is named, and what they depend on."""
    found: dict[str, None] = {}
    todo = list(services or known)
    while todo:
        name = todo.pop(0)
        if name not in found and name in known:
            found[name] = None
            todo += list(known[name].get("depends_on") or ())
    return tuple(found)
