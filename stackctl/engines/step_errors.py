"""Failures of steps as diagnostics that point at the YAML which asked for what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import StackctlError
from stackctl.reconcile.action import AwaitCondition, CreateContainer, StartContainer
from stackctl.reconcile.apply import Outcome

_LOG_LINES: Final = 5
_LONGEST_LINE: Final = 200
# What an image may say in place of the stack file.
_OF_IMAGES = ("argv", "user", "working_dir")
_SUMMARIES = {
    "container-start": "Container cannot be started",
    "bind-source-missing": "Bound path does not exist",
    "device-missing": "Device cannot be used",
    "limit": "Limit cannot be set",
    "unknown-ulimit": "Resource limit is not possible",
    "unknown-capability": "Capability is not possible",
    "sysctl-not-namespaced": "Setting belongs to the whole machine",
    "bad-address": "Address cannot be given",
    "address-taken": "Address is taken",
    "subnet-overlap": "Subnet is in use",
    "port-taken": "Host port is already in use",
    "command-not-found": "Command not found in the image",
    "command-not-executable": "Command cannot be executed",
    "user-not-found": "User is unknown in the image",
    "health-never-reached": "Service did not become healthy",
    "dependency-exited": "Service ended before it was healthy",
    "hook-failed": "Command at a point of the container's life failed",
    "restart-loop": "Service is restarted again and again",
    "dependency-failed": "One-shot service failed",
    "update-failed": "The new container did not stay up",
    "wait-timeout": "Waited too long",
}


class LastWords(Protocol):
    """Gives the last ``count`` lines of a container's log."""

    def __call__(self, name: str, count: int) -> Sequence[str]: ...


def diagnostics_of(outcome: Outcome, last_words: LastWords) -> tuple[Diagnostic, ...]:
    """Return what is to be said of a failed step; what its error says itself comes before all we could add."""
    if outcome.error is None:
        return ()
    return tuple(outcome.error.diagnostics) or (located(outcome, last_words),)


def located(outcome: Outcome, last_words: LastWords) -> Diagnostic:
    """Return the failure of a step with the best place there is, and what the container concerned said last.

    ``outcome.error`` is not None.
    """
    assert outcome.error is not None
    error = outcome.error
    where = _place(outcome, error.field)
    action = outcome.step.action
    return Diagnostic(
        severity="error",
        code=error.code,
        summary=_SUMMARIES.get(error.code, "A step of the plan failed"),
        detail="\n".join([str(error), *_log_lines(outcome, last_words)]),
        hint=error.hint,
        sources=(where,) if where else (),
        subject=(action.name, error.field) if where is None and isinstance(action, StartContainer) else ("", ""),
    )


def located_in(error: StackctlError, origin: Mapping[str, SourceRange]) -> Diagnostic:
    """Return what a container cannot be started for, with the best place that ``origin`` has."""
    where = nearest(origin, error.field)
    summary = _SUMMARIES.get(error.code, "Container cannot be started")
    sources = (where,) if where else ()
    return Diagnostic(
        severity="error", code=error.code, summary=summary, detail=str(error), hint=error.hint, sources=sources
    )


def _log_lines(outcome: Outcome, last_words: LastWords) -> Iterator[str]:
    action, error = outcome.step.action, outcome.error
    if not isinstance(action, AwaitCondition) or error is None:
        return
    for name in action.names:
        # Of several replicas the error names those that failed.
        if name in str(error) and (lines := last_words(name, _LOG_LINES)):
            yield f"{name} wrote last:"
            for line in lines:
                yield f"  {_printable(line)[:_LONGEST_LINE]}"


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.expandtabs())


def _place(outcome: Outcome, field: str) -> SourceRange | None:
    action = outcome.step.action
    if isinstance(action, CreateContainer):
        return nearest(action.spec.origin, field)
    if isinstance(action, StartContainer) and outcome.step.origin:
        return nearest(outcome.step.origin, field)
    return outcome.step.source


def nearest(origin: Mapping[str, SourceRange], field: str) -> SourceRange | None:
    """Return where the item, else the field it is of, else the image that says it, else the service is written."""
    whole = field.partition(".")[0]
    names = (field, whole, "image_ref", "") if whole in _OF_IMAGES else (field, whole, "")
    return next((origin[name] for name in names if name in origin), None)
