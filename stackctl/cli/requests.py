"""What the engine is asked to do with a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from stackctl.cli.known_stack import AnyStack
    from stackctl.wire.stack_request import StackRequest

Verb = Literal["up", "down", "start", "stop", "restart", "kill"]


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
