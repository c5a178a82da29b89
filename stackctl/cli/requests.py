"""What the engine is asked to do with a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from stackctl.cli.known_stack import AnyStack
    from stackctl.cli.settings import Settings
    from stackctl.model.registry import Credentials
    from stackctl.wire.stack_request import StackRequest

Verb = Literal["up", "down", "start", "stop", "restart", "kill", "build"]


def stack_request(verb: Verb, document: AnyStack | None, **options: Any) -> StackRequest:
    """Return the request for a verb; ``options`` are fields of StackRequest."""
    from stackctl.wire.stack_request import StackRequest  # only for commands that change something

    if document is None:
        return StackRequest(verb=verb, **options)
    from stackctl.cli.known_stack import KnownStack

    if isinstance(document, KnownStack):
        return StackRequest(verb=verb, document=document.wire, **options)
    from stackctl.stackfile.document import document_to_wire  # as above

    return StackRequest(
        verb=verb,
        document=document_to_wire(document.without_contents()),
        contents=document.contents,
        **options,
    )


def logins_for(settings: Settings, document: AnyStack) -> dict[str, Credentials]:
    """Return the user's logins to the registries of the stack's images.

    One that cannot be read is told of, and is none: the images may all be there.
    """
    import os.path

    home = settings.environment.get("HOME", "")
    folder = settings.environment.get("DOCKER_CONFIG") or f"{home}/.docker"
    has_others = "REGISTRY_AUTH_FILE" in settings.environment or "XDG_RUNTIME_DIR" in settings.environment
    if not has_others and not os.path.exists(f"{folder}/config.json"):
        return {}
    from stackctl.cli.credentials import logins  # 5 ms: only for who has logged in somewhere

    services = document.tree.get("services")
    shapes = services.values() if isinstance(services, dict) else ()
    return logins(settings, [str(shape.get("image") or "") for shape in shapes if isinstance(shape, dict)])
