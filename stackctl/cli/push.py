"""`push`: the images that a stack builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from stackctl.cli.connect import start_engine
from stackctl.cli.options import services_argument
from stackctl.cli.pull import with_dependencies
from stackctl.cli.pushing import push_image
from stackctl.cli.screen import open_screen
from stackctl.cli.settings import current_settings
from stackctl.cli.stack_files import load_document
from stackctl.errors import StackctlError


@click.command()
@click.option("--ignore-push-failures", is_flag=True, help="Push what can be pushed.")
@click.option("--include-deps", is_flag=True, help="Push what the named services depend on, too.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@services_argument
def push(services: tuple[str, ...], ignore_push_failures: bool, include_deps: bool, quiet: bool) -> None:
    """Push the images of services that are built and have an `image:` to their registries."""
    settings = current_settings()
    tree = load_document(settings, services).tree.get("services")
    known: Mapping[str, Any] = tree if isinstance(tree, dict) else {}
    chosen = with_dependencies(known, services) if include_deps else services or tuple(known)
    images: dict[str, None] = {}
    for name in chosen:
        build, image = known[name].get("build"), str(known[name].get("image") or "")
        if build and image:
            tags = build.get("tags") if isinstance(build, dict) else None
            images |= dict.fromkeys((image, *map(str, tags or ())))
    engine = start_engine(settings)
    failed = None
    with open_screen(settings, "push", is_quiet=quiet) as screen:
        for image in images:
            try:
                push_image(settings, engine, image, screen)
            except StackctlError as error:
                failed = failed or error
    if failed is not None and not ignore_push_failures:
        raise failed
