"""Text that must be a number or a boolean, made one.

A variable always gives text, so ``replicas: ${N}`` needs this; Compose does it to any text at these places,
quoted or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, with_entries, with_entry, without
from stackctl.stackfile.problems import Problems, dotted

_Trie: TypeAlias = "dict[str, _Trie | _Cast]"
_Cast: TypeAlias = Callable[[str], "int | float | bool | None"]


def _to_int(text: str) -> int | None:
    """Decimal digits, whatever they begin with: unlike in YAML, ``010`` is ten here."""
    return int(text) if re.fullmatch(r"[-+]?\d{1,18}", text, re.ASCII) else None


def _to_float(text: str) -> float | int | None:
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?", text, re.ASCII):
        return None
    value = float(text)
    return int(value) if value.is_integer() else value


_TRUE = ("true", "y", "yes", "on")
_FALSE = ("false", "n", "no", "off")


def _to_bool(text: str) -> bool | None:
    lower = text.lower()
    if lower in _TRUE:
        return True
    return False if lower in _FALSE else None


_NAMES: dict[_Cast, str] = {_to_int: "a whole number", _to_float: "a number", _to_bool: "`true` or `false`"}
_STAND_INS: dict[_Cast, int | bool] = {_to_int: 1, _to_float: 1, _to_bool: False}
"""What goes on in place of a value that was reported, so that nothing else is said about it."""
_UPDATE: _Trie = {"parallelism": _to_int, "max_failure_ratio": _to_float}
_SERVICE: _Trie = {
    "attach": _to_bool,
    "build": {"no_cache": _to_bool, "pull": _to_bool, "privileged": _to_bool},
    "cpu_count": _to_int,
    "cpu_percent": _to_float,
    "cpu_period": _to_int,
    "cpu_quota": _to_int,
    "cpu_rt_period": _to_int,
    "cpu_rt_runtime": _to_int,
    "cpu_shares": _to_int,
    "cpus": _to_float,
    "depends_on": {"*": {"required": _to_bool, "restart": _to_bool}},
    "deploy": {
        "replicas": _to_int,
        "update_config": _UPDATE,
        "rollback_config": _UPDATE,
        "restart_policy": {"max_attempts": _to_int},
        "placement": {"max_replicas_per_node": _to_int},
        "resources": {
            "limits": {"pids": _to_int, "cpus": _to_float},
            "reservations": {
                "cpus": _to_float,
                "generic_resources": {"*": {"discrete_resource_spec": {"value": _to_int}}},
            },
        },
    },
    "env_file": {"*": {"required": _to_bool}},
    "healthcheck": {"retries": _to_int, "disable": _to_bool},
    "init": _to_bool,
    "oom_kill_disable": _to_bool,
    "oom_score_adj": _to_int,
    "pids_limit": _to_int,
    "ports": {"*": {"target": _to_int}},
    "privileged": _to_bool,
    "read_only": _to_bool,
    "scale": _to_int,
    "stdin_open": _to_bool,
    "tty": _to_bool,
    "ulimits": {"*": _to_int},
    "volumes": {
        "*": {
            "read_only": _to_bool,
            "bind": {"create_host_path": _to_bool},
            "volume": {"nocopy": _to_bool},
        }
    },
}
_HOOK: _Trie = {"*": {"privileged": _to_bool}}
_SERVICE |= {
    "develop": {"watch": {"*": {"exec": {"privileged": _to_bool}}}},
    "post_start": _HOOK,
    "pre_start": {"*": {**_SERVICE, "per_replica": _to_bool}},
    "pre_stop": _HOOK,
}
_JOB: _Trie = {**_SERVICE, "triggers": {"manual": _to_bool}}
_ULIMIT: _Trie = {"soft": _to_int, "hard": _to_int}
_NETWORK: _Trie = {
    "external": _to_bool,
    "internal": _to_bool,
    "attachable": _to_bool,
    "enable_ipv4": _to_bool,
    "enable_ipv6": _to_bool,
}
_ROOT: _Trie = {
    "services": {"*": _SERVICE},
    "jobs": {"*": _JOB},
    "networks": {"*": _NETWORK},
    "volumes": {"*": {"external": _to_bool}},
    "secrets": {"*": {"external": _to_bool}},
    "configs": {"*": {"external": _to_bool}},
}


def cast(root: Node, problems: Problems) -> Node:
    """Return ``root`` with text made numbers and booleans wherever those are wanted."""
    return _walk(with_new_names(root), _ROOT, (), problems)


def with_new_names(root: Node) -> Node:
    """Return ``root`` with ``x-initialSync``, which Compose still knows, as ``initial_sync``."""
    return _renamed(root, ("services", "*", "develop", "watch", "*"))


def _renamed(node: Node, path: tuple[str, ...]) -> Node:
    if not path:
        old, new = "x-initialSync", "initial_sync"
        if not isinstance(node, Mapping) or old not in node.entries or new in node.entries:
            return node
        return with_entry(without(node, [old]), new, node.entries[old])
    if isinstance(node, Sequence) and path[0] == "*":
        return Sequence(tuple(_renamed(item, path[1:]) for item in node.items), node.mark, node.tag)
    if not isinstance(node, Mapping):
        return node
    wanted = node.entries if path[0] == "*" else node.entries.keys() & {path[0]}
    changed = {key: _renamed(node.entries[key], path[1:]) for key in wanted}
    return with_entries(node, {**node.entries, **changed}) if changed else node


def _walk(node: Node, rule: _Trie | _Cast, path: tuple[str | int, ...], problems: Problems) -> Node:
    if not isinstance(rule, dict):
        return _apply(node, rule, path, problems)
    if isinstance(node, Mapping):
        entries = dict(node.entries)
        for key, entry in node.entries.items():
            below = rule.get(key, rule.get("*"))
            if below is not None:
                entries[key] = _walk(entry, below, (*path, key), problems)
        return with_entries(node, entries)
    if isinstance(node, Sequence) and "*" in rule:
        items = (_walk(item, rule["*"], (*path, at), problems) for at, item in enumerate(node.items))
        return Sequence(tuple(items), node.mark, node.tag)
    return node


def _apply(node: Node, convert: _Cast, path: tuple[str | int, ...], problems: Problems) -> Node:
    if isinstance(node, Mapping) and len(path) > 3 and path[-2] == "ulimits":
        return _walk(node, _ULIMIT, path, problems)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return node
    value = convert(node.value)
    if value is None:
        if _is_optional(path, node.value):
            return node
        problems.error(
            "bad-value",
            "Value not allowed",
            node.mark,
            detail=f"`{dotted(path)}` must be {_NAMES[convert]}, not `{node.value}`.",
        )
        return Scalar(_STAND_INS[convert], node.mark, node.tag)
    if isinstance(value, bool) and node.value.lower() not in ("true", "false"):
        word = "true" if value else "false"
        problems.warning(
            "yaml-boolean",
            "Not a boolean in YAML 1.2",
            node.mark,
            detail=f"`{node.value}` is read as `{word}` here.",
            hint=f"write `{word}`",
        )
    return Scalar(value, node.mark, node.tag)


def _is_optional(path: tuple[str | int, ...], text: str) -> bool:
    """A few places take other text as well; the schema judges that."""
    return path[-1] == "cpus" and not text
