"""The canonical tree as text, the way Compose's ``config`` prints it."""

from __future__ import annotations

import json
import re
from typing import Literal

from stackctl.stackfile.document import Document
from stackctl.stackfile.node import Json
from stackctl.stackfile.scalar import resolve_plain, text_form
from stackctl.stackfile.tree import as_dict

Format = Literal["yaml", "json"]
_ORDER = ("name", "services", "models", "networks", "volumes", "secrets", "configs")
_SORTED = {
    *_ORDER[1:],
    "annotations",
    "args",
    "depends_on",
    "driver_opts",
    "environment",
    "extra_hosts",
    "labels",
    "options",
    "sysctls",
    "ulimits",
}
_PLAIN = re.compile(r"[A-Za-z0-9_./~$(+][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*")
_BOOLEAN_ONCE = {"y", "n", "yes", "no", "on", "off"}
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def config_text(document: Document, format: Format = "yaml", *, is_interpolated: bool = True) -> str:
    """Return the document as YAML, which ends in a newline, or as JSON, which does not.

    Dollar signs are doubled, so that the text can be loaded again, unless the document was loaded without
    interpolation and still has its own. JSON has Compose's peculiarities: ``command`` and ``entrypoint`` are
    always there, ``ipam`` and the parts of ``deploy`` too, and models and a service's ``x-`` keys are not.
    """
    tree: Json = document.tree
    if is_interpolated:
        tree = _doubled(tree)
    tree = _in_order(as_dict(tree))
    if format == "json":
        return json.dumps(_for_json(tree), indent=2, ensure_ascii=False)
    return "".join(f"{line}\n" for line in _yaml(tree, "")) if tree else "{}\n"


def _doubled(value: Json) -> Json:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_doubled(item) for item in value]
    if isinstance(value, dict):
        return {key: _doubled(entry) for key, entry in value.items()}
    return value


def _in_order(tree: dict[str, Json]) -> dict[str, Json]:
    known = [key for key in _ORDER if key in tree]
    others = [key for key in tree if key not in _ORDER]
    return {key: _sorted(tree[key], is_sorted=key in _SORTED) for key in (*known, *others)}


def _sorted(value: Json, *, is_sorted: bool) -> Json:
    if isinstance(value, list):
        return [_sorted(item, is_sorted=False) for item in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value) if is_sorted else list(value)
    return {key: _sorted(value[key], is_sorted=key in _SORTED) for key in keys}


def _for_json(tree: dict[str, Json]) -> dict[str, Json]:
    found = {key: value for key, value in tree.items() if key != "models"}
    services = {name: _service_for_json(as_dict(entry)) for name, entry in as_dict(tree.get("services")).items()}
    found["services"] = dict(services)
    if "networks" in found:
        networks = as_dict(found["networks"])
        found["networks"] = {key: {"ipam": {}, **as_dict(entry)} for key, entry in networks.items()}
    return found


def _service_for_json(service: dict[str, Json]) -> Json:
    found: dict[str, Json] = {"command": None, "entrypoint": None}
    found |= {key: value for key, value in service.items() if not key.startswith("x-")}
    if "deploy" in found:
        found["deploy"] = {"resources": {}, "placement": {}, **as_dict(found["deploy"])}
    return found


def _yaml(value: Json, indent: str) -> list[str]:
    """Return the lines of a mapping or list that has entries."""
    lines: list[str] = []
    if isinstance(value, dict):
        for key, entry in value.items():
            lines += _entry(f"{indent}{_text(key)}:", entry, indent + "  ")
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list) and item:
                inner = _yaml(item, indent + "  ")
                lines += [f"{indent}- {inner[0].lstrip(' ')}", *inner[1:]]
            else:
                lines += _entry(f"{indent}-", item, indent + "  ")
    return lines


def _entry(head: str, value: Json, indent: str) -> list[str]:
    if isinstance(value, dict | list) and value:
        return [head, *_yaml(value, indent)]
    if isinstance(value, str) and _is_block(value):
        keep = "" if value.endswith("\n") else "-"
        return [f"{head} |{keep}", *(f"{indent}{line}" if line else "" for line in value.splitlines())]
    return [f"{head} {_atom(value)}"]


def _is_block(text: str) -> bool:
    """A literal block can only hold printable lines, the first one neither empty nor indented."""
    body = text.removesuffix("\n")
    has_odd = _UNPRINTABLE.search(body.replace("\n", "")) or body.endswith("\n")
    return (
        "\n" in body
        and not has_odd
        and body[0] not in " \n"
        and all(line == "" or line.strip() for line in body.split("\n"))
    )


def _atom(value: Json) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return "null" if value is None else text_form(value)


def _text(text: str) -> str:
    is_plain = (
        _PLAIN.fullmatch(text) is not None
        and ": " not in text
        and " #" not in text
        and not text.endswith((" ", ":"))
        and text not in ("...", "<<")
        and isinstance(resolve_plain(text), str)
        and resolve_plain(text) == text
    )
    if is_plain and text.lower() in _BOOLEAN_ONCE:
        return f"'{text}'"
    return text if is_plain else _quoted(text)


def _quoted(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
        code = ord(match[0])
        return named.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNPRINTABLE.sub(escape, escaped)}"'
