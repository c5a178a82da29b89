"""Which image each service of a stack gets, and what to say of one that cannot be had."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError, StackctlError
from stackctl.model.image import ImageConfig, ResolvedImage
from stackctl.model.stack import Stack
from stackctl.reconcile import graph
from stackctl.reconcile.desired import image_requests
from stackctl.reconcile.engine import Engine, ImageRequest
from stackctl.wire.stack_request import StackRequest

_AT_ONCE: Final = 4
_UNKNOWN: Final = ResolvedImage("", ImageConfig())
"""Stands for the image of a service that the request is not about: nothing is made from it."""


def resolve_images(
    engine: Engine, stack: Stack, request: StackRequest, built: Collection[str] = ()
) -> dict[str, ResolvedImage]:
    """Return the image of each service, asking registries as policies say.

    Services with ``build:`` never have theirs from a registry; those in ``built`` need not have one yet. Raises
    PlanError, naming every service whose image cannot be had.
    """
    asked = image_requests(stack, request.pull or None)
    needed = needed_services(stack, request)
    local = {name: ImageRequest(image.reference, image.platform, "never") for name, image in asked.items()}
    remote = {name for name in needed if stack.services[name].build is None}
    wanted = {name: asked[name] if name in remote else local[name] for name in stack.services}
    found, failures = _find(engine, wanted.values())
    missing = [name for name in stack.services if name in needed - set(built) and wanted[name] not in found]
    if missing:
        diagnostics = tuple(_image_missing(stack, name, failures.get(wanted[name])) for name in missing)
        raise PlanError(diagnostics[0].detail, code="image-not-found", diagnostics=diagnostics)
    return {name: found.get(wanted[name], _UNKNOWN) for name in stack.services}


def needed_services(stack: Stack, request: StackRequest) -> set[str]:
    """Return the services that a request is about: those that are named, and what they depend on."""
    chosen = [name for name in request.services if name in stack.services]
    if not chosen:
        return set(stack.services)
    return set(chosen) if request.no_deps else set(graph.with_dependencies(graph.edges_of(stack), chosen))


def _find(
    engine: Engine, requests: Iterable[ImageRequest]
) -> tuple[dict[ImageRequest, ResolvedImage], dict[ImageRequest, StackctlError]]:
    distinct = list(dict.fromkeys(requests))
    found: dict[ImageRequest, ResolvedImage] = {}
    failures: dict[ImageRequest, StackctlError] = {}

    def find(request: ImageRequest) -> None:
        try:
            found.update(engine.resolve((request,)))
        except StackctlError as error:
            failures[request] = error

    here = engine.resolve([ImageRequest(one.reference, one.platform, "never") for one in distinct])
    known = {(image.reference, image.platform): resolved for image, resolved in here.items()}
    remote = []
    for one in distinct:
        image = known.get((one.reference, one.platform))
        if one.policy != "always" and image is not None and not one.max_age_s:
            found[one] = image
        elif one.policy != "never":
            remote.append(one)
    if remote:
        from concurrent.futures import ThreadPoolExecutor  # 10 ms: only to ask registries

        with ThreadPoolExecutor(min(_AT_ONCE, len(remote)), thread_name_prefix="resolve") as pool:
            list(pool.map(find, remote))
    return found, failures


def _image_missing(stack: Stack, service: str, why: StackctlError | None) -> Diagnostic:
    is_built = stack.services[service].build is not None
    where = stack.where("services", service, "build" if is_built else "image")
    image = stack.services[service].image
    hint = (
        f"build it: stackctl build {service}"
        if is_built
        else f"bring it in with: stackctl image load -i ARCHIVE, or stackctl image import ROOT.tar {image}"
    )
    detail = f"service {service} needs the image {image}, and may not pull it."
    if why is not None:
        detail = f"service {service} needs the image {image}: {why}."
        hint = why.hint or hint
    return Diagnostic(
        severity="error",
        code="image-not-found",
        summary="Image is not in the engine",
        detail=detail,
        hint=hint,
        sources=(where,) if where else (),
    )
