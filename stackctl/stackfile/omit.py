"""Leaving out what says nothing: what is empty, zero or off where that is as good as not written.

Numbers that Compose keeps as whole ones lose their fraction on the way, as they do there.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, with_entries


class Kind(Enum):
    """What kind of value a key has, and so what of it says nothing."""

    TEXT = "text"
    WHOLE = "whole"
    COUNT = "count"  # a whole number of which zero says something
    RATIO = "ratio"
    FLAG = "flag"
    LIST = "list"
    MAPPING = "mapping"
    SIZE = "size"
    DURATION = "duration"


Rules: TypeAlias = "dict[str, Rules | Kind]"
_TEXTS = Kind.TEXT
_UPDATE: Rules = {
    "parallelism": Kind.COUNT,
    "delay": Kind.DURATION,
    "failure_action": Kind.TEXT,
    "monitor": Kind.DURATION,
    "max_failure_ratio": Kind.RATIO,
}
_DEVICES: Rules = {
    "*": {
        "capabilities": Kind.LIST,
        "count": Kind.WHOLE,
        "device_ids": Kind.LIST,
        "driver": Kind.TEXT,
        "options": Kind.MAPPING,
    }
}
_HOOK: Rules = {
    "user": Kind.TEXT,
    "privileged": Kind.FLAG,
    "working_dir": Kind.TEXT,
    "environment": Kind.MAPPING,
}
_CONTENT: Rules = {"*": {"target": Kind.TEXT, "uid": Kind.TEXT, "gid": Kind.TEXT}}
_BUILD: Rules = {
    **dict.fromkeys(
        ("context", "dockerfile", "dockerfile_inline", "isolation", "network", "provenance", "sbom", "target"), _TEXTS
    ),
    "secrets": _CONTENT,
    "shm_size": Kind.SIZE,
    "ssh": Kind.MAPPING,
}
SERVICE: Rules = {
    "blkio_config": {"weight": Kind.WHOLE, "weight_device": {"*": {"weight": Kind.COUNT}}},
    "build": _BUILD,
    "configs": _CONTENT,
    **dict.fromkeys(("cpu_count", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"), Kind.WHOLE),
    "cpu_percent": Kind.RATIO,
    "cpu_shares": Kind.WHOLE,
    "credential_spec": dict.fromkeys(("config", "file", "registry"), _TEXTS),
    "deploy": {
        "placement": {"max_replicas_per_node": Kind.WHOLE, "preferences": {"*": {"spread": Kind.TEXT}}},
        "replicas": Kind.COUNT,
        "resources": {
            "limits": {"memory": Kind.SIZE},
            "reservations": {
                "memory": Kind.SIZE,
                "devices": _DEVICES,
                "generic_resources": {"*": {"discrete_resource_spec": {"value": Kind.COUNT}}},
            },
        },
        "restart_policy": {"condition": Kind.TEXT, "max_attempts": Kind.COUNT},
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
    },
    "develop": {
        "watch": {
            "*": {
                "exec": _HOOK,
                "ignore": Kind.LIST,
                "include": Kind.LIST,
                "initial_sync": Kind.FLAG,
                "target": Kind.TEXT,
            }
        },
    },
    "devices": {"*": dict.fromkeys(("source", "target", "permissions"), _TEXTS)},
    "env_file": {"*": {"path": Kind.TEXT}},
    "gpus": _DEVICES,
    "healthcheck": {"retries": Kind.COUNT},
    "models": {"*": {"endpoint_var": Kind.TEXT, "model_var": Kind.TEXT}},
    "networks": {
        "*": {
            **dict.fromkeys(("interface_name", "ipv4_address", "ipv6_address", "mac_address"), _TEXTS),
            "priority": Kind.WHOLE,
            "gw_priority": Kind.WHOLE,
        }
    },
    "oom_score_adj": Kind.WHOLE,
    "pids_limit": Kind.WHOLE,
    "ports": {"*": {**dict.fromkeys(("app_protocol", "mode", "name", "protocol"), _TEXTS), "target": Kind.WHOLE}},
    "post_start": {"*": _HOOK},
    "pre_stop": {"*": _HOOK},
    "provider": {"type": Kind.TEXT, "options": Kind.MAPPING},
    "scale": Kind.COUNT,
    "secrets": _CONTENT,
    "volumes": {
        "*": {
            "source": Kind.TEXT,
            "consistency": Kind.TEXT,
            "bind": {"propagation": Kind.TEXT},
            "volume": {"labels": Kind.MAPPING, "subpath": Kind.TEXT},
            "tmpfs": {"size": Kind.SIZE, "mode": Kind.WHOLE},
            "image": {"subpath": Kind.TEXT},
        }
    },
}
"""By the path below a service; ``*`` is any name or item."""
_CONTENTS: Rules = {"*": {"driver": Kind.TEXT, "external": Kind.FLAG, "template_driver": Kind.TEXT}}
_IPAM: Rules = {"config": {"*": dict.fromkeys(("gateway", "ip_range", "subnet"), _TEXTS)}}
RESOURCES: Rules = {
    "configs": _CONTENTS,
    "networks": {"*": {"external": Kind.FLAG, "ipam": _IPAM}},
    "secrets": _CONTENTS,
    "volumes": {"*": {"external": Kind.FLAG}},
}
"""By the path below the top level."""


def omit(node: Node, rules: Rules = SERVICE) -> Node:
    """Return ``node``, a service or what ``rules`` are for, without what says nothing; another shape stays."""
    if isinstance(node, Sequence) and "*" in rules:
        return Sequence(tuple(_below(item, rules["*"]) or item for item in node.items), node.mark, node.tag)
    if not isinstance(node, Mapping):
        return node
    entries: dict[str, Node] = {}
    is_changed = False
    for key, entry in node.entries.items():
        rule = rules.get(key, rules.get("*"))
        kept = entry if rule is None else _below(entry, rule)
        is_changed |= kept is not entry
        if kept is not None:
            entries[key] = kept
    return with_entries(node, entries) if is_changed else node


def _below(node: Node, rule: Rules | Kind) -> Node | None:
    return _kept(node, rule) if isinstance(rule, Kind) else omit(node, rule)


def _kept(node: Node, kind: Kind) -> Node | None:
    if isinstance(node, Sequence):
        return node if node.items or kind is not Kind.LIST else None
    if isinstance(node, Mapping):
        return node if node.entries or kind is not Kind.MAPPING else None
    value = node.value
    if kind is Kind.TEXT:
        return None if value == "" else node
    if kind is Kind.FLAG:
        return None if value is False else node
    if kind is Kind.SIZE:
        return None if value == "0" else node
    if kind is Kind.DURATION:
        return None if value == "0s" else node
    return _number(node, kind)


def _number(node: Scalar, kind: Kind) -> Node | None:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return node
    if isinstance(value, float) and (kind is not Kind.RATIO or value.is_integer()):
        node = Scalar(int(value), node.mark, node.tag)
    return None if node.value == 0 and kind is not Kind.COUNT else node
