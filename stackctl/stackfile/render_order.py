"""The order in which Compose prints keys: that of its own structures, and names sorted."""

from __future__ import annotations

from typing import TypeAlias

from stackctl.stackfile.node import Json
from stackctl.stackfile.tree import as_dict

_Order: TypeAlias = tuple[str, ...]
_CONTENT: _Order = ("source", "target", "uid", "gid", "mode")
_UPDATE: _Order = ("parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order")
_DEVICES: _Order = ("capabilities", "driver", "count", "device_ids", "options")
_HOOK: _Order = ("command", "user", "privileged", "working_dir", "environment")
_SECRET: _Order = (
    *("name", "file", "environment", "content", "external", "labels", "driver", "driver_opts", "template_driver"),
)
_RESOURCE: _Order = (
    *("name", "driver", "driver_opts", "ipam", "external", "internal", "attachable", "labels", "enable_ipv4"),
    "enable_ipv6",
)
_TOP: _Order = ("name", "services", "jobs", "networks", "volumes", "secrets", "configs", "models")
_FIRST: _Order = (
    "name",
    "triggers",
    "profiles",
    "deploy",
    "develop",
    "restart",
    "scale",
    "attach",
    "container_name",
    "provider",
    "external_links",
    "links",
    "pre_start",
    "post_start",
    "pre_stop",
)
_LAST: _Order = ("build", "depends_on", "expose", "healthcheck", "ports", "stdin_open", "tty")
_WITHIN: dict[str, _Order] = {
    "triggers": ("manual", "schedule"),
    "schedule": ("cron", "timezone", "concurrency", "missed_fires"),
    "deploy": (
        *("mode", "replicas", "labels", "update_config", "rollback_config", "resources"),
        *("restart_policy", "placement", "endpoint_mode"),
    ),
    "update_config": _UPDATE,
    "rollback_config": _UPDATE,
    "resources": ("limits", "reservations"),
    "limits": ("cpus", "memory", "pids"),
    "reservations": ("cpus", "memory", "pids", "devices", "generic_resources"),
    "restart_policy": ("condition", "delay", "max_attempts", "window"),
    "placement": ("constraints", "preferences", "max_replicas_per_node"),
    "devices": ("source", "target", "permissions", *_DEVICES),
    "gpus": _DEVICES,
    "watch": ("path", "action", "target", "exec", "include", "ignore", "initial_sync"),
    "exec": _HOOK,
    "post_start": _HOOK,
    "pre_stop": _HOOK,
    "provider": ("type", "options"),
    "configs": _CONTENT,
    "secrets": _CONTENT,
    "volumes": ("type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image"),
    "bind": ("selinux", "propagation", "create_host_path", "recursive"),
    "volume": ("labels", "nocopy", "subpath"),
    "tmpfs": ("size", "mode"),
    "logging": ("driver", "options"),
    "blkio_config": ("weight", "weight_device"),
    "build": (
        *("context", "dockerfile", "dockerfile_inline", "entitlements", "args", "provenance", "sbom", "ssh", "labels"),
        *("cache_from", "cache_to", "no_cache", "no_cache_filter", "additional_contexts", "pull", "extra_hosts"),
        *("isolation", "network", "target", "secrets", "shm_size", "tags", "ulimits", "platforms", "privileged"),
    ),
    "healthcheck": ("test", "timeout", "interval", "retries", "start_period", "start_interval", "disable"),
    "ports": ("name", "mode", "host_ip", "target", "published", "protocol", "app_protocol"),
    "ipam": ("driver", "config", "options"),
    "config": ("subnet", "gateway", "ip_range", "aux_addresses"),
}
"""By the key a mapping, or a list of mappings, stands under."""
_NAMED: dict[str, _Order] = {
    "depends_on": ("condition", "restart", "required"),
    "ulimits": ("soft", "hard"),
}
"""Mappings from names to mappings with this order."""


def in_order(tree: dict[str, Json]) -> dict[str, Json]:
    """Return the canonical tree with its keys in the order of Compose; lists stay as they are."""
    found: dict[str, Json] = {}
    for key in _arranged(tree, _TOP):
        entry = tree[key]
        if key in ("services", "jobs"):
            services = as_dict(entry)
            found[key] = {name: _service(services[name]) for name in sorted(services)}
        elif isinstance(entry, dict) and key in _TOP:
            order = _SECRET if key in ("secrets", "configs") else _RESOURCE
            found[key] = {name: _mapping(entry[name], order) for name in sorted(entry)}
        else:
            found[key] = _mapping(entry, ())
    return found


def _service(value: Json) -> Json:
    service = as_dict(value)
    others = sorted(key for key in service if key not in _FIRST and key not in _LAST and not key.startswith("x-"))
    return _mapping(value, (*_FIRST, *others, *_LAST))


def _mapping(value: Json, order: _Order) -> Json:
    """Put keys in ``order`` first, then the others by name; what is below has the order of its key."""
    if isinstance(value, list):
        return [_mapping(item, order) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Json] = {}
    for key in _arranged(value, order):
        entry = value[key]
        if key in _NAMED and isinstance(entry, dict):
            found[key] = {name: _mapping(entry[name], _NAMED[key]) for name in sorted(entry)}
        elif key.startswith("x-"):
            found[key] = _mapping(entry, ())
        elif key == "pre_start" and isinstance(entry, list):
            found[key] = [_service(item) for item in entry]
        else:
            found[key] = _mapping(entry, _WITHIN.get(key, ()))
    return found


def _arranged(value: dict[str, Json], order: _Order) -> list[str]:
    rank = {key: at for at, key in enumerate(order)}
    return sorted(value, key=lambda key: (key.startswith("x-"), rank.get(key, len(rank)), key))
