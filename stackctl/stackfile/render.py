"""The canonical tree as text, the way Compose's ``config`` prints it."""

from __future__ import annotations

import json
import re
from typing import Literal

from stackctl.errors import UsageError
from stackctl.stackfile.document import Document
from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import did_you_mean
from stackctl.stackfile.render_order import in_order
from stackctl.stackfile.scalar import resolve_plain, text_form
from stackctl.stackfile.tree import as_dict, as_list

Format = Literal["yaml", "json"]
_FREE = {
    "additional_contexts",
    "annotations",
    "args",
    "aux_addresses",
    "depends_on",
    "driver_opts",
    "environment",
    "labels",
    "models",
    "networks",
    "options",
    "storage_opt",
    "sysctls",
}
"""Mappings whose keys are names, so that one may start with ``x-``."""
_SOURCES = ("content", "environment", "file")
_NOT_HASHED = ("build", "pull_policy", "scale", "depends_on", "profiles")
_PLAIN = re.compile(r"(?:[A-Za-z0-9_./~$(+]|-(?=[^\s]))[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]*")
_BOOLEAN_ONCE = {"y", "n", "yes", "no", "on", "off"}
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def config_text(document: Document, format: Format = "yaml", *, is_interpolated: bool = True) -> str:
    """Return the document as YAML, which ends in a newline, or as JSON, which does not.

    Dollar signs are doubled, so that the text can be loaded again, unless the document was loaded without
    interpolation and still has its own. JSON has Compose's peculiarities: ``command`` and ``entrypoint`` are
    always there, ``ipam`` and the parts of ``deploy`` too, and models and ``x-`` keys inside are not.
    """
    tree: Json = _without_empty_sources(document.tree)
    if is_interpolated:
        tree = _doubled(tree)
    tree = in_order(as_dict(tree))
    if format == "json":
        return json.dumps(_for_json(tree), indent=2, ensure_ascii=False)
    return "".join(f"{line}\n" for line in _yaml(tree, "")) if tree else "{}\n"


def yaml_text(value: Json) -> str:
    """Return ``value`` as YAML: one that holds others begins with a newline and is indented."""
    if isinstance(value, dict | list) and value:
        return "".join(f"\n{line}" for line in _yaml(value, "  "))
    return _atom(value) if not isinstance(value, str) or "\n" not in value else _quoted(value)


def service_hashes(document: Document, wanted: str) -> dict[str, str]:
    """Return a SHA-256 of each service named in ``wanted`` (``a,b``, or ``*`` for all), of what makes its containers.

    Raises UsageError for a service that is not there.
    """
    import hashlib  # 3 ms: only here

    services = as_dict(document.tree.get("services"))
    names = sorted(services) if wanted == "*" else [name.strip() for name in wanted.split(",")]
    found: dict[str, str] = {}
    for name in names:
        if name not in services:
            raise UsageError(f"no such service: {name}", hint=did_you_mean(name, services))
        kept = {key: entry for key, entry in as_dict(services[name]).items() if key not in _NOT_HASHED}
        deploy = {key: entry for key, entry in as_dict(kept.get("deploy")).items() if key != "replicas"}
        text = json.dumps({**kept, **({"deploy": deploy} if "deploy" in kept else {})}, sort_keys=True)
        found[name] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return found


def _without_empty_sources(tree: dict[str, Json]) -> dict[str, Json]:
    """Compose does not show that a config has empty content, or comes from a file or variable of no name."""
    configs = {
        name: {key: value for key, value in entry.items() if value != "" or key not in _SOURCES}
        if isinstance(entry, dict)
        else entry
        for name, entry in as_dict(tree.get("configs")).items()
    }
    return {**tree, "configs": configs} if configs else tree


def _doubled(value: Json) -> Json:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_doubled(item) for item in value]
    if isinstance(value, dict):
        return {key: _doubled(entry) for key, entry in value.items()}
    return value


def _for_json(tree: dict[str, Json]) -> dict[str, Json]:
    found = {
        key: _short_numbers(value) if key.startswith("x-") else value for key, value in tree.items() if key != "models"
    }
    for kind in ("networks", "volumes", "secrets", "configs"):
        if kind in found:
            found[kind] = {name: _without_extensions(entry) for name, entry in as_dict(found[kind]).items()}
    for kind in ("services", "jobs"):
        if kind in found or kind == "services":
            found[kind] = {name: _service_for_json(as_dict(entry)) for name, entry in as_dict(tree.get(kind)).items()}
    for job in as_dict(found.get("jobs")).values():
        as_dict(job).pop("name", None)
    if "networks" in found:
        networks = as_dict(found["networks"])
        found["networks"] = {key: {"ipam": {}, **as_dict(entry)} for key, entry in networks.items()}
    return found


def _short_numbers(value: Json) -> Json:
    """Go writes a number that is whole, and not too large, without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {key: _short_numbers(entry) for key, entry in value.items()}
    return [_short_numbers(item) for item in value] if isinstance(value, list) else value


def _service_for_json(service: dict[str, Json]) -> Json:
    found: dict[str, Json] = {"command": None, "entrypoint": None, **as_dict(_without_extensions(service))}
    if "pre_start" in found:
        found["pre_start"] = [_service_for_json(as_dict(hook)) for hook in as_list(found["pre_start"])]
    if "blkio_config" in found:
        found["blkio_config"] = {
            key: [_capitalised(item) for item in value] if isinstance(value, list) else value
            for key, value in as_dict(found["blkio_config"]).items()
        }
    if "ulimits" in found:
        found["ulimits"] = _limits(found["ulimits"])
    if "build" in found:
        found["build"] = _build_for_json(as_dict(found["build"]))
    if "watch" in as_dict(found.get("develop")):
        rules = as_list(as_dict(found["develop"]).get("watch"))
        shown: list[Json] = [{"exec": {"command": None}, **as_dict(rule)} for rule in rules]
        found["develop"] = {**as_dict(found["develop"]), "watch": shown}
    if "deploy" in found:
        found["deploy"] = {"resources": {}, "placement": {}, **as_dict(found["deploy"])}
    return found


def _build_for_json(build: dict[str, Json]) -> Json:
    found = dict(build)
    if "ulimits" in found:
        found["ulimits"] = _limits(found["ulimits"])
    keys = as_dict(found.get("ssh"))
    if keys and all(path is None for path in keys.values()):
        found["ssh"] = list(keys)
    return found


def _limits(value: Json) -> Json:
    return {
        name: {key: end for key, end in limit.items() if end != 0} if isinstance(limit, dict) else limit
        for name, limit in as_dict(value).items()
    }


def _without_extensions(value: Json, *, is_free: bool = False) -> Json:
    if isinstance(value, list):
        return [_without_extensions(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_extensions(entry, is_free=key in _FREE and not is_free)
        for key, entry in value.items()
        if is_free or not key.startswith("x-")
    }


def _capitalised(item: Json) -> Json:
    """These keys have no JSON names of their own in Compose."""
    return {key.capitalize(): value for key, value in as_dict(item).items()}


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
        and not text.startswith("---")
        and isinstance(resolve_plain(text), str)
        and resolve_plain(text) == text
    )
    if is_plain and text.lower() in _BOOLEAN_ONCE:
        return f"'{text}'"
    if is_plain:
        return text
    # What would be read as something else goes into double quotes, what only has odd characters into single ones.
    is_text = text and not _UNPRINTABLE.search(text) and resolve_plain(text) == text
    return "'" + text.replace("'", "''") + "'" if is_text else _quoted(text)


def _quoted(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
        code = ord(match[0])
        return named.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNPRINTABLE.sub(escape, escaped)}"'
