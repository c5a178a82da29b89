"""What commands send along for services with ``build:``: first what their folders hold, then what the engine needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from stackctl.errors import ImageError

if TYPE_CHECKING:
    from stackctl.cli.contexts import Context
    from stackctl.cli.known_stack import AnyStack
    from stackctl.cli.settings import Settings
    from stackctl.client.engine_client import EngineClient
    from stackctl.wire.stack_request import RunRequest, StackRequest


def build_mode(given: Mapping[str, Any]) -> Literal["", "always", "never"]:
    """Return what ``--build`` and ``--no-build`` ask for."""
    if given.get("build"):
        return "always"
    return "never" if given.get("no_build") else ""


def with_inputs(settings: Settings, document: AnyStack, request: StackRequest) -> StackRequest:
    """Return the request with what there is to build from, sending no file. Raises ImageError."""
    return _with(request, _contexts(settings, document, request))


def with_contexts(settings: Settings, engine: EngineClient, document: AnyStack, request: StackRequest) -> StackRequest:
    """Return the request with all it needs to build: contexts are sent for what has to be built. Raises ImageError."""
    contexts = _contexts(settings, document, request)
    if not contexts:
        return request
    from dataclasses import replace  # BuildInputs are; with the above 10 ms, only to build

    from stackctl.cli.contexts import ContextTar, with_dockerfile
    from stackctl.cli.warnings import tell

    request = _with(request, contexts)
    inputs = dict(request.builds)
    for service in engine.builds(document.name, request):
        if service in contexts:
            tell(settings, contexts[service].check())
            context, at = contexts[service], inputs[service].path
            if engine.wants_dockerfile:
                context, at = with_dockerfile(context)
            inputs[service] = replace(inputs[service], context=engine.send_context(ContextTar(context)), path=at)
    return request._replace(builds=inputs)


def run_with_contexts(settings: Settings, engine: EngineClient, document: AnyStack, request: RunRequest) -> RunRequest:
    """Return the request of a one-off with all it needs to build. Raises ImageError."""
    stack = with_contexts(settings, engine, document, request.stack)
    if stack is request.stack:
        return request
    return request._replace(stack=stack)


def _with(request: StackRequest, contexts: Mapping[str, Context]) -> StackRequest:
    if not contexts:
        return request
    return request._replace(builds={name: context.inputs() for name, context in contexts.items()})


def _contexts(settings: Settings, document: AnyStack, request: StackRequest) -> dict[str, Context]:
    services: Any = document.tree.get("services")
    known: Mapping[str, Any] = services if isinstance(services, dict) else {}
    if request.build == "never" or not any(_build_of(service) for service in known.values()):
        return {}
    named = request.services if request.no_deps or request.verb == "build" else with_needed(known, request.services)
    return {
        name: _find(settings, document, name, build)
        for name in named or tuple(known)
        if (build := _build_of(known.get(name) or {}))
    }


def _find(settings: Settings, document: AnyStack, service: str, build: Mapping[str, Any]) -> Context:
    """Look at a service's context; what is wrong with it names the line that asks for it."""
    from stackctl.cli.contexts import find_context  # 10 ms: only to build

    try:
        return find_context(settings, service, build)
    except ImageError as error:
        from stackctl.cli.known_stack import KnownStack
        from stackctl.diagnostics import Diagnostic
        from stackctl.stackfile.document import document_from_wire

        whole = document_from_wire(document.wire) if isinstance(document, KnownStack) else document
        where = whole.positions.get(("services", service, "build"))
        found = Diagnostic(
            severity="error",
            code=error.code,
            summary="Nothing to build from",
            detail=f"service {service}: {error.message}",
            hint=error.hint,
            sources=(where,) if where is not None else (),
        )
        raise ImageError(error.message, code=error.code, hint=error.hint, diagnostics=(found,)) from error


def _build_of(service: Mapping[str, Any]) -> Mapping[str, Any]:
    build = service.get("build")
    return build if isinstance(build, dict) and "://" not in str(build.get("context")) else {}


def with_needed(known: Mapping[str, Any], services: tuple[str, ...]) -> tuple[str, ...]:
    """Return services and all they depend on."""
    found: dict[str, None] = {}
    todo = list(services)
    while todo:
        name = todo.pop(0)
        if name not in found and name in known:
            found[name] = None
            todo += list(known[name].get("depends_on") or ())
    return tuple(found)
