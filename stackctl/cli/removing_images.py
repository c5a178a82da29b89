"""Removing the images of a stack, after its containers: ``down --rmi``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from stackctl.cli.containers import Listed
from stackctl.cli.render.course import Update
from stackctl.cli.screen import Screen
from stackctl.cli.settings import Settings
from stackctl.errors import Conflict, NotFound, StackFileError
from stackctl.model.image import HOST_IMAGE

if TYPE_CHECKING:
    from stackctl.client.engine_client import EngineClient

Which = Literal["all", "local"]


def images_of(
    settings: Settings, project: str, containers: Iterable[Listed], services: Sequence[str], which: Which
) -> list[str]:
    """Return the images that a stack's containers were made of, and those its files name, each once.

    ``local``: only those that have no name but the one the stack gives what it builds.
    """
    pairs = [(container.service, str(container.entry.get("Image") or "")) for container in containers]
    pairs += _written(settings, project)
    chosen = [
        image
        for service, image in pairs
        if (not services or service in services) and (which == "all" or _is_default(image, project, service))
    ]
    return [image for image in dict.fromkeys(chosen) if image and not _is_host_image(image)]


def remove_images(engine: EngineClient, images: Iterable[str], screen: Screen) -> None:
    """Remove images by their names; what others use stays, and is told."""
    for image in images:
        resource = f"Image {image}"
        screen.show(Update(resource, "working", "Removing"))
        try:
            engine.image_remove(image)
        except NotFound:
            screen.show(Update(resource, "warning", "Warning", "No resource found to remove"))
        except Conflict as error:
            screen.show(Update(resource, "warning", "Warning", error.message))
        else:
            screen.show(Update(resource, "done", "Removed"))


def _is_host_image(image: str) -> bool:
    # It cannot be removed, and nobody means it.
    return image.removesuffix(":latest") == HOST_IMAGE


def _is_default(image: str, project: str, service: str) -> bool:
    return image.removesuffix(":latest") == f"{project}-{service}"


def _written(settings: Settings, project: str) -> list[tuple[str, str]]:
    """Return service and image of what the files say; nothing where there are none."""
    from stackctl.cli.stack_files import load_document  # the YAML parser: only for this option

    try:
        tree = load_document(settings, is_quiet=True).tree
    except StackFileError:
        return []
    services = tree.get("services")
    found = []
    for name, body in (services if isinstance(services, dict) else {}).items():
        written = body if isinstance(body, dict) else {}
        image = str(written.get("image") or (f"{project}-{name}" if written.get("build") else ""))
        found.append((str(name), image))
    return found
