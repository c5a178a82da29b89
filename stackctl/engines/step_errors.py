"""Failures of steps as diagnostics that point at the YAML which asked for what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.reconcile.action import AwaitCondition, CreateContainer, StartContainer
from stackctl.reconcile.apply import Outcome

_LOG_LINES: Final = 5
_LONGEST_LINE: Final = 200
_FIELDS = {
    "port-taken": "ports",
    "port-unavailable": "ports",
    "command-not-found": "argv",
    "command-not-executable": "argv",
    "command-wrong-format": "argv",
    "no-command": "argv",
    "user-not-found": "user",
    "unknown-capability": "cap_add",
    "unknown-ulimit": "ulimits",
    "sysctl-not-namespaced": "sysctls",
    "limit": "limits",
    "bind-source-missing": "mounts",
    "device-missing": "devices",
    "no-such-network": "networking",
    "address-taken": "networking",
    "addresses-exhausted": "networking",
    "bad-address": "networking",
    "network-owner-not-running": "networking",
    "health-never-reached": "health",
}
_SUMMARIES = {
    "port-taken": "Host port is already in use",
    "command-not-found": "Command not found in the image",
    "command-not-executable": "Command cannot be executed",
    "user-not-found": "User is unknown in the image",
    "health-never-reached": "Service did not become healthy",
    "dependency-exited": "Service ended before it was healthy",
    "dependency-failed": "One-shot service failed",
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
    where = _place(outcome, error.code)
    return Diagnostic(
        severity="error",
        code=error.code,
        summary=_SUMMARIES.get(error.code, "A step of the plan failed"),
        detail="\n".join([str(error), *_log_lines(outcome, last_words)]),
        hint=error.hint,
        sources=(where,) if where else (),
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


def _place(outcome: Outcome, code: str) -> SourceRange | None:
    action = outcome.step.action
    if isinstance(action, CreateContainer):
        return action.spec.origin.get(_FIELDS.get(code, "")) or action.spec.origin.get("")
    if isinstance(action, StartContainer):
        origin = outcome.step.origin
        if code in ("port-taken", "port-unavailable") and origin:
            # The message begins with the address.
            port = str(outcome.error).partition(" ")[0].rpartition(":")[2]
            if (entry := origin.get(f"ports.{port}")) is not None:
                return entry
        return origin.get(_FIELDS.get(code, "")) or origin.get("") if origin else outcome.step.source
    return outcome.step.source
