"""Diagnostics as SARIF 2.1.0, which code hosts and editors read. Source: OASIS, sarif-v2.1.0."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from stackctl import __version__

if TYPE_CHECKING:
    from stackctl.diagnostics import Diagnostic, SourceRange

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_text(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one run of the linter, with a rule for each code that was met."""
    summaries: dict[str, str] = {}
    for one in diagnostics:
        summaries.setdefault(one.code, one.summary)
    codes = list(summaries)
    driver = {
        "name": "stackctl",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": summaries[code]}} for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, codes.index(one.code)) for one in diagnostics],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(one: Diagnostic, rule: int) -> dict[str, object]:
    text = "\n".join(part for part in (one.detail or one.summary, one.hint and f"hint: {one.hint}") if part)
    found: dict[str, object] = {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": one.severity,
        "message": {"text": text},
        "locations": [_location(source) for source in one.sources[:1]],
    }
    if one.sources[1:]:
        found["relatedLocations"] = [_location(source) for source in one.sources[1:]]
    return found


def _location(source: SourceRange) -> dict[str, object]:
    name = quote(source.file)
    region = {"startLine": source.line, "startColumn": source.column, "endColumn": source.end_column}
    uri = f"file://{name}" if os.path.isabs(source.file) else name
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
