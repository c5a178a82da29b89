"""Where a value came from, as `config --explain` shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stackctl.stackfile.problems import dotted
from stackctl.stackfile.render import yaml_text

if TYPE_CHECKING:
    from stackctl.stackfile.explain import Explanation, Origin, Part
    from stackctl.stackfile.node import Mark

_Lines = Mapping[tuple[str, int], str]


def explanation_text(found: Explanation, lines: _Lines, *, cwd: str) -> str:
    """Return the value and, below it, each place that took part; the one that holds comes first.

    Files below ``cwd`` are named from there.
    """
    name = dotted(found.path) or "the stack"
    value = yaml_text(found.value)
    text = [f"{name}:{value}" if value.startswith("\n") else f"{name}: {value}"]
    for part in sorted(found.parts, key=lambda part: not part.holds):
        text += _part(part, lines)
    if not found.parts:
        text.append("  default   no file says it")
    elif not any(part.holds for part in found.parts):
        text.append("  default   what the files say is not what holds")
    return "".join(f"{line}\n" for line in text).replace(f" {cwd}/", " ")


def explanation_json(found: Explanation) -> str:
    """Return the same as one JSON object."""
    shape = {
        "path": dotted(found.path),
        "value": found.value,
        "parts": [
            {
                "place": _place(part.mark),
                "holds": part.holds,
                "value": part.value,
                "written": part.template or None,
                "taken_out": part.is_taken_out,
                "because": [{"why": why, "place": _place(mark)} for why, mark in part.because],
                "variables": [_variable(origin) for origin in part.variables],
            }
            for part in found.parts
        ],
    }
    return json.dumps(shape, indent=2, ensure_ascii=False) + "\n"


def _part(part: Part, lines: _Lines) -> Iterator[str]:
    word = "holds" if part.holds else "taken out" if part.is_taken_out else "hidden"
    written = lines.get((part.mark.file, part.mark.line), "").strip()
    yield f"  {word:<9} {_place(part.mark)}" + (f"   {written}" if written else "")
    for why, mark in reversed(part.because):
        yield f"              {why} {_place(mark)}"
    for origin in part.variables:
        yield f"              {_origin(origin)}"


def _origin(origin: Origin) -> str:
    if origin.value is None:
        return f"{origin.name} is not set" + (f": `{origin.fallback}` is used" if origin.fallback else "")
    where = _place(origin.mark) if origin.mark is not None else "the environment"
    return f"{origin.name}={json.dumps(origin.value, ensure_ascii=False)} by {where}"


def _variable(origin: Origin) -> dict[str, object]:
    return {
        "name": origin.name,
        "value": origin.value,
        "default": origin.fallback or None,
        "place": _place(origin.mark) if origin.mark is not None else None,
    }


def _place(mark: Mark) -> str:
    return f"{mark.file}:{mark.line}:{mark.column}" if mark.line else "(not in a file)"
