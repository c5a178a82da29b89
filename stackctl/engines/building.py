"""Builds of a stack: which are needed for a request, and what they have to go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stackctl.engines.hosting import BuildWishes, HostEngine
from stackctl.engines.resolving import needed_services
from stackctl.errors import UsageError
from stackctl.model.build import BuildProgress
from stackctl.model.stack import Stack
from stackctl.reconcile.builds import BuildChoice, plan_builds
from stackctl.reconcile.desired import PlannedBuild
from stackctl.wire.stack_request import StackRequest

Emit = Callable[[dict[str, Any]], None]


def builds_for(engine: HostEngine, stack: Stack, request: StackRequest) -> dict[str, PlannedBuild]:
    """Return the builds that a request needs, by service. Raises UsageError for a service there is not."""
    is_build = request.verb == "build"
    for name in request.services if is_build else ():
        if name not in stack.services:
            raise UsageError(f"no such service: {name}", code="no-such-service")
    services = (request.services or tuple(stack.services)) if is_build else needed_services(stack, request)
    choice = BuildChoice(
        services=frozenset(services),
        inputs=request.builds,
        mode="always" if is_build else request.build,
        no_cache=request.no_cache,
        pull=is_build and request.pull == "always",
        args=_arguments(request.build_args),
    )
    return plan_builds(stack, engine.builds, choice)


def wishes_of(request: StackRequest, emit: Emit) -> BuildWishes:
    """Return what the builds of a request have to go by; ``emit`` hears of them."""

    def tell(image: str, moment: BuildProgress) -> None:
        emit({"event": "build", "image": image, "n": moment.number, "state": moment.state, "text": moment.text})

    return BuildWishes(inputs=request.builds, contents=request.contents, tell=tell)


def contexts_of(request: StackRequest) -> list[str]:
    """Return the contexts that were sent for a request."""
    return [inputs.context for inputs in request.builds.values() if inputs.context]


def _arguments(texts: tuple[str, ...]) -> Mapping[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}
