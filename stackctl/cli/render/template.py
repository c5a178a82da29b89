"""Templates of ``--format``: the small part of Go's language that is used to choose fields. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackctl.cli.render.table import table
from stackctl.errors import UsageError

_PART: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD: Final = re.compile(r"(?:(json|upper|lower|title)\s+)?\.(\w*)")
_PIPED: Final = re.compile(r"\.(\w+)\s*\|\s*(json|upper|lower|title)")
_LABEL: Final = re.compile(r'\.Label\s+"([^"]*)"')
_TABLE: Final = "table"
_HEADS: Final = {
    "ID": "CONTAINER ID",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "LocalVolumes": "LOCAL VOLUMES",
    "CPUPerc": "CPU %",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
}

Row = Mapping[str, Any]


def formatted(template: str, rows: Sequence[Row]) -> str:
    """Return a line for each row, or with ``table`` in front a table with a head. Raises UsageError."""
    is_table = template.startswith(_TABLE)
    text = template.removeprefix(_TABLE).strip() if is_table else template
    text = text.replace(r"\t", "\t").replace(r"\n", "\n")
    if not is_table:
        return "".join(_filled(text, row) + "\n" for row in rows)
    head = _PART.sub(lambda part: _head(part[1]), text)
    return table(head.split("\t"), [_filled(text, row).split("\t") for row in rows])


def _filled(text: str, row: Row) -> str:
    return _PART.sub(lambda part: _value(part[1], row), text)


def _value(expression: str, row: Row) -> str:
    label = _LABEL.fullmatch(expression)
    if label:
        marks = dict(pair.partition("=")[::2] for pair in str(row.get("Labels") or "").split(","))
        return marks.get(label[1], "")
    verb, name = _parsed(expression)
    if name and name not in row:
        raise UsageError(f"--format: there is no field {name}", hint=f"there are {', '.join(sorted(row))}")
    value = row[name] if name else row
    if verb == "json" or not name:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    shown = str(value)
    return {"upper": shown.upper(), "lower": shown.lower(), "title": shown.title()}.get(verb, shown)


def _head(expression: str) -> str:
    label = _LABEL.fullmatch(expression)
    name = label[1] if label else _parsed(expression)[1]
    return _HEADS.get(name, name.upper())


def _parsed(expression: str) -> tuple[str, str]:
    """Return verb ("" for none) and field ("" for the whole row)."""
    piped = _PIPED.fullmatch(expression)
    if piped:
        return piped[2], piped[1]
    plain = _FIELD.fullmatch(expression)
    if plain is None:
        raise UsageError(
            f"--format: {{{{{expression}}}}} is not understood",
            hint='write {{.Field}}, {{json .Field}}, {{json .}}, {{upper .Field}} or {{.Label "key"}}',
        )
    return plain[1] or "", plain[2]
