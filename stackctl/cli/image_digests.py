"""Tags to digests, asked of the registries: `config --resolve-image-digests` and `--lock-image-digests`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from stackctl.cli.credentials import logins
from stackctl.cli.receipt import DEFAULT_ROOT
from stackctl.cli.settings import Settings
from stackctl.errors import ImageError
from stackctl.images.registry.access import Access
from stackctl.images.registry.settings import read_settings
from stackctl.model.image import HOST_IMAGE, ImageRef, parse_image_ref
from stackctl.model.registry import ANONYMOUS

if TYPE_CHECKING:
    from stackctl.stackfile.document import Document
    from stackctl.stackfile.node import Json

_AT_ONCE = 8


def with_digests(settings: Settings, document: Document) -> Document:
    """Return the document with every image named by its digest. Raises ImageError, NotFound."""
    images = _images(document)
    found = _resolve(settings, set(images.values()))
    services: dict[str, Json] = {}
    for name, service in _services(document).items():
        pinned = found.get(images.get(name, ""))
        services[name] = {**service, "image": pinned} if pinned and isinstance(service, dict) else service
    return replace(document, tree={**document.tree, "services": services})


def only_digests(document: Document) -> Document:
    """Return a document, to merge onto the stack, that says nothing but what each service's image is."""
    images = _images(document)
    services: dict[str, Json] = {
        name: {"image": images[name]} if name in images else {} for name in _services(document)
    }
    return replace(document, tree={"services": services})


def _services(document: Document) -> Mapping[str, Json]:
    services = document.tree.get("services")
    return services if isinstance(services, dict) else {}


def _images(document: Document) -> dict[str, str]:
    found = {}
    for name, service in _services(document).items():
        image = service.get("image") if isinstance(service, dict) else None
        if isinstance(image, str) and image != HOST_IMAGE:
            found[name] = image
    return found


def _resolve(settings: Settings, images: set[str]) -> dict[str, str]:
    references = {image: _parse(image) for image in sorted(images)}
    known = logins(settings, images)
    registries = read_settings(settings.environment.get("STACKCTL_ROOT") or DEFAULT_ROOT)

    def ask(reference: ImageRef) -> str:
        if reference.digest:
            return str(replace(reference, tag=""))
        access = Access(credentials=known.get(reference.registry, ANONYMOUS))
        repository = access.repository(reference, registries)
        digest = repository.digest(reference.tag) or repository.manifest(reference.tag).digest
        return str(replace(reference, digest=digest))

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(zip(references, pool.map(ask, references.values()), strict=True))


def _parse(image: str) -> ImageRef:
    try:
        return parse_image_ref(image)
    except ValueError as wrong:
        raise ImageError(f"`{image}`: {wrong}", code="image-name-invalid") from wrong
