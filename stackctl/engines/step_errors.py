"""Failures of steps as diagnostics that point at the YAML which asked for what failed."""

from __future__ import annotations

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.reconcile.action import CreateContainer, StartContainer
from stackctl.reconcile.apply import Outcome

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


def located(outcome: Outcome) -> Diagnostic:
    """Return the failure of a step with the best place there is. ``outcome.error`` is not None."""
    assert outcome.error is not None
    error = outcome.error
    where = _place(outcome, error.code)
    return Diagnostic(
        severity="error",
        code=error.code,
        summary=_SUMMARIES.get(error.code, "A step of the plan failed"),
        detail=str(error),
        hint=error.hint,
        sources=(where,) if where else (),
    )


def _place(outcome: Outcome, code: str) -> SourceRange | None:
    action = outcome.step.action
    if isinstance(action, CreateContainer):
        return action.spec.origin.get(_FIELDS.get(code, "")) or action.spec.origin.get("")
    if isinstance(action, StartContainer):
        origin = outcome.step.origin
        return origin.get(_FIELDS.get(code, "")) or origin.get("") if origin else outcome.step.source
    return outcome.step.source
