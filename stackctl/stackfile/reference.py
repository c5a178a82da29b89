"""The reference of stack files, made from the schema and from what the engine honours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from stackctl.stackfile.problems import listing
from stackctl.stackfile.schema import load_schema
from stackctl.stackfile.support_table import Table, Verdict
from stackctl.stackfile.support_tables import TABLES, TITLES, EngineKind

_HEAD = """\
# The stack file

Every key that stack files can have, and what engines make of it: the built-in one, and others that `--engine` names
(docs/engines.md). This page is made from the schema
(`stackctl schema --format markdown`); `stackctl schema` prints the schema itself, for editors:

    # yaml-language-server: $schema=./stack.schema.json

A key marked *ignored* is a warning when it is used, one marked *refused* an error; both name the key with its line.
Examples are written as JSON, which is YAML too.
How values are merged, interpolated and written out is as in Docker Compose; `stackctl config` shows the result.

`stackctl lint` tells all of that, and gives advice. A piece of advice is silenced by its code: with `--ignore CODE`, or
with `x-stackctl-ignore: [CODE, …]` at the top of the file or in a service.
"""
_SAME = "As for a service."
_KINDS = tuple(kind for kind in TITLES if kind in TABLES)
_TITLES = {
    "services": "A service",
    "networks": "A network",
    "volumes": "A volume",
    "configs": "A config",
    "secrets": "A secret",
    "models": "A model",
    "jobs": "A job",
    "include": "An entry of `include`",
}


class Key(NamedTuple):
    """A key, by its path (``*`` for any name or item), and what it means."""

    path: tuple[str, ...]
    meaning: str
    default: str = ""
    example: str = ""


def keys() -> list[Key]:
    """Return every key of the schema, each once, with its description."""
    found: dict[tuple[str, ...], Key] = {}
    for key in _walk(load_schema(), (), frozenset()):
        if not (key.path in found and found[key.path].meaning):
            found[key.path] = key
    return [found[path] for path in sorted(found)]


def verdict(path: tuple[str, ...], engine: EngineKind = "built-in") -> Verdict:
    """Return what an engine of the kind makes of a key."""
    table: Table | Verdict = TABLES[engine]
    for part in path:
        if isinstance(table, Verdict):
            break
        table = table.get(part, table.get("*", Verdict(None)))
    return table if isinstance(table, Verdict) else Verdict(None)


def reference() -> str:
    """Return the reference as Markdown."""
    every = keys()
    lines = [_HEAD, "## At the top level\n", *_rows(every, ())]
    for section, title in _TITLES.items():
        lines += [f"\n## {title}\n", *_rows(every, (section, "*"))]
    return "\n".join(lines) + "\n"


def _rows(every: list[Key], within: tuple[str, ...]) -> list[str]:
    heads = ["key", "meaning", "default", "example", *(TITLES[kind] for kind in _KINDS)]
    found = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    alike: dict[str, list[str]] = {}
    for key in every:
        inner = key.path[len(within) :]
        if key.path[: len(within)] == within and (within or len(inner) == 1):
            shown = ".".join("[]" if part == "*" else part for part in inner).replace(".[]", "[]")
            if key.meaning == _SAME:
                alike.setdefault(shown.removesuffix(inner[-1]), []).append(inner[-1])
                continue
            cells = (f"`{shown}`", key.meaning, _code(key.default), _code(key.example), *_supports(key.path))
            found.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    for before, names in alike.items():
        path = (*within, *(part for part in before.replace("[]", ".*").split(".") if part), names[0])
        found.append(f"| `{before}…` | As for a service: {listing(names)}. | | | {' | '.join(_supports(path))} |")
    return found


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _supports(path: tuple[str, ...]) -> list[str]:
    """Return what each kind of engine makes of a key; briefly, where it is what the built-in one does."""
    first, *others = (_support(path, kind) for kind in _KINDS)
    return [first, *("likewise" if found == first != "yes" else found for found in others)]


def _support(path: tuple[str, ...], engine: EngineKind) -> str:
    severity, reason, _ = verdict(path, engine)
    if severity is None:
        return "yes"
    return f"{'refused' if severity == 'error' else 'ignored'}: {reason}"


def _walk(schema: dict[str, Any], path: tuple[str, ...], seen: frozenset[str]) -> Iterator[Key]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name not in seen and "/" not in name:  # with a slash it is a key of services, described there
            yield from _walk(load_schema()["$defs"][name], path, seen | {name})
    for branch in schema.get("anyOf", ()):
        yield from _walk(branch, path, seen)
    for key, entry in schema.get("properties", {}).items():
        default = json.dumps(entry["default"]) if "default" in entry else ""
        example = json.dumps(entry["examples"][0], ensure_ascii=False) if "examples" in entry else ""
        yield Key((*path, key), entry.get("description", ""), default, example)
        yield from _walk(entry, (*path, key), seen)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _walk(schema[keyword], (*path, "*"), seen)
