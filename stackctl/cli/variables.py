"""The variables that stack files name, as `config --variables` shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from stackctl.stackfile.interpolate import Use


class _Variable(TypedDict):
    Name: str
    DefaultValue: str
    PresenceValue: str
    Required: bool


def variables_json(uses: Iterable[Use]) -> str:
    """Return one JSON object: name → what its expressions say."""
    return json.dumps(_merged(uses), indent=4, ensure_ascii=False) + "\n"


def variables_table(uses: Iterable[Use]) -> str:
    """Return a line for each variable, below a heading."""
    rows = [("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE")]
    for one in _merged(uses).values():
        rows.append((one["Name"], str(one["Required"]).lower(), one["DefaultValue"], one["PresenceValue"]))
    widths = [max(20, *(len(row[at]) + 1 for row in rows)) for at in range(3)] + [0]
    return "".join("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n" for row in rows)


def _merged(uses: Iterable[Use]) -> dict[str, _Variable]:
    found: dict[str, _Variable] = {}
    for use in uses:
        one = found.setdefault(use.name, _Variable(Name=use.name, DefaultValue="", PresenceValue="", Required=False))
        match use.operator[-1:]:
            case "-":
                one["DefaultValue"] = one["DefaultValue"] or use.argument
            case "+":
                one["PresenceValue"] = one["PresenceValue"] or use.argument
            case "?":
                one["Required"] = True
    return dict(sorted(found.items()))
