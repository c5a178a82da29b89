"""A plan as JSON for programs, version 1; described by schemas/plan.schema.json. Pure."""

from __future__ import annotations

from typing import Any, Final

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.reconcile.plan import Plan
from stackctl.reconcile.plan_text import action_title

VERSION: Final = 1


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as values that JSON can hold. No secret is among them."""
    return {
        "version": VERSION,
        "stack": plan.stack,
        "base": plan.base,
        "empty": plan.is_empty,
        "changes": [
            {
                "key": str(change.key),
                "name": change.name,
                "change": change.kind,
                "reasons": [
                    {
                        "text": reason.text,
                        "before": reason.before,
                        "after": reason.after,
                        "source": source_json(reason.source),
                    }
                    for reason in change.reasons
                ],
            }
            for change in plan.changes
        ],
        "steps": [
            {
                "n": step.number,
                "action": type(step.action).__name__,
                "title": action_title(step.action),
                "after": list(step.after),
                "soft_after": list(step.soft_after),
                "while_well": list(step.while_well),
                "only_if_failed": list(step.only_if_failed),
                "tolerance": step.tolerance,
                "because": step.because,
                "disruption": step.disruption,
                "source": source_json(step.source),
            }
            for step in plan.steps
        ],
        "confirmations": [{"step": asked.step, "text": asked.text} for asked in plan.confirmations],
        "warnings": [diagnostic_json(warning) for warning in plan.warnings],
    }


def source_json(source: SourceRange | None) -> dict[str, Any] | None:
    """Return a place as JSON."""
    if source is None:
        return None
    return {"file": source.file, "line": source.line, "column": source.column, "end_column": source.end_column}


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON."""
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "hint": diagnostic.hint,
        "sources": [source_json(source) for source in diagnostic.sources],
    }
