"""Merging one file onto another, both in canonical form but for what ``canonical`` leaves as written.

Mappings merge key by key; a null keeps what is there. Lists are appended to, but items with the same
identity (a port, a mount's target) are one item, and the later one wins in the earlier one's place. The same
goes for doubles within one file.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeAlias

from stackctl.model.path import Path
from stackctl.stackfile.canonical_hosts import host_list
from stackctl.stackfile.node import Mapping, Node, Scalar, Sequence, is_null, plain, text_of, with_entries

Identity: TypeAlias = Callable[[Node], Hashable]
Clashes: TypeAlias = list[tuple[Node, Node]]
"""The later value and the earlier one."""
_Rules: TypeAlias = "dict[str, _Rules | _Rule]"


class _Rule:
    """How one kind of value is merged."""

    def __init__(self, *, identity: Identity | None = None, null_wins: bool = False) -> None:
        self.identity = identity
        self.null_wins = null_wins


def _whole(node: Node) -> Hashable:
    return node.value if isinstance(node, Scalar) else repr(plain(node))


def _of_keys(*keys: str) -> Identity:
    def identity(node: Node) -> Hashable:
        if not isinstance(node, Mapping):
            return _whole(node)
        return tuple(_whole(node.entries[key]) if key in node.entries else None for key in keys)

    return identity


def _content_target(folder: str) -> Identity:
    def identity(node: Node) -> Hashable:
        if not isinstance(node, Mapping):
            return _whole(node)
        return text_of(node.entries.get("target")) or f"{folder}/{text_of(node.entries.get('source')) or ''}"

    return identity


def _port(node: Node) -> Hashable:
    if not isinstance(node, Mapping):
        return _whole(node)
    found = [_whole(node.entries[key]) if key in node.entries else "" for key in ("host_ip", "published")]
    protocol = text_of(node.entries.get("protocol")) or "tcp"
    return (*found, _whole(node.entries["target"]) if "target" in node.entries else "", protocol)


def _before_equals(node: Node) -> Hashable:
    text = text_of(node)
    return _whole(node) if text is None else text.partition("=")[0]


_UNIQUE = _Rule(identity=_whole)
_KEYED = _Rule(identity=_before_equals)
"""Compose takes what is before an equals sign for a name, also where it is none."""
_REPLACE = _Rule()
_VALUES = _Rule(null_wins=True)
_LOGGING = _Rule()
_HOSTS = _Rule()
"""Still as written: an item is there already if it is the same text."""
_POOLS = _Rule(identity=_of_keys("subnet"))
_SERVICE: _Rules = {
    "annotations": _VALUES,
    "build": {
        "additional_contexts": _VALUES,
        "args": _VALUES,
        "labels": _VALUES,
        "extra_hosts": _HOSTS,
        "tags": _KEYED,
    },
    "cap_add": _KEYED,
    "cap_drop": _KEYED,
    "command": _REPLACE,
    "configs": _Rule(identity=_content_target("")),
    "deploy": {"labels": _VALUES},
    "device_cgroup_rules": _UNIQUE,
    "devices": _Rule(identity=_of_keys("target")),
    "dns": _KEYED,
    "dns_opt": _KEYED,
    "dns_search": _KEYED,
    "entrypoint": _REPLACE,
    "env_file": _Rule(identity=_of_keys("path")),
    "environment": _VALUES,
    "expose": _UNIQUE,
    "external_links": _UNIQUE,
    "extra_hosts": _HOSTS,
    "group_add": _UNIQUE,
    "healthcheck": {"test": _REPLACE},
    "label_file": _UNIQUE,
    "labels": _VALUES,
    "links": _KEYED,
    "logging": _LOGGING,
    "networks": {"*": {"aliases": _KEYED, "link_local_ips": _KEYED}},
    "ports": _Rule(identity=_port),
    "profiles": _KEYED,
    "provider": {"options": {"*": _REPLACE}},
    "secrets": _Rule(identity=_content_target("/run/secrets")),
    "security_opt": _UNIQUE,
    "sysctls": _VALUES,
    "tmpfs": _KEYED,
    "ulimits": {"*": _REPLACE},
    "volumes": _Rule(identity=_of_keys("target")),
    "volumes_from": _UNIQUE,
}
_RESOURCE: _Rules = {"labels": _VALUES}
_TOP: _Rules = {
    "services": {"*": _SERVICE},
    "networks": {"*": {"labels": _VALUES, "ipam": {"config": _POOLS}}},
    "volumes": {"*": _RESOURCE},
    "secrets": {"*": _RESOURCE},
    "configs": {"*": _RESOURCE},
}


def merge(earlier: Node | None, later: Node, clashes: Clashes) -> Node:
    """Return ``later`` merged onto ``earlier``; with no earlier, ``later`` without its doubles.

    Values of different kinds, which cannot be merged, are added to ``clashes``.
    """
    return _merge(earlier, later, _TOP, clashes)


def merge_service(earlier: Node | None, later: Node, clashes: Clashes) -> Node:
    """As ``merge``, for two services."""
    return _merge(earlier, later, _SERVICE, clashes)


def identity_at(path: Path) -> Identity | None:
    """Return what makes two items of the list at ``path`` one, or None where every item is its own."""
    rules: _Rules | _Rule = _TOP
    for part in path:
        if isinstance(rules, _Rule):
            return None
        rules = rules.get(str(part), rules.get("*", {}))
    return rules.identity if isinstance(rules, _Rule) else None


def _merge(earlier: Node | None, later: Node, rule: _Rules | _Rule | None, clashes: Clashes) -> Node:
    if rule is _LOGGING and _drivers_differ(earlier, later):
        return later
    if isinstance(rule, _Rule):
        return _merge_by_rule(earlier, later, rule, clashes)
    if not isinstance(earlier, Scalar | None) and not is_null(later) and type(earlier) is not type(later):
        clashes.append((later, earlier))
    if isinstance(later, Mapping):
        return _merge_mappings(earlier if isinstance(earlier, Mapping) else None, later, rule or {}, clashes)
    if isinstance(later, Sequence) and isinstance(earlier, Sequence):
        return _append(earlier, later)
    if is_null(later) and earlier is not None:
        return earlier
    return later


def _merge_by_rule(earlier: Node | None, later: Node, rule: _Rule, clashes: Clashes) -> Node:
    if rule is _REPLACE:
        return later
    if is_null(later) and earlier is not None:
        return earlier
    if rule is _POOLS:
        return _merge_pools(earlier, later, clashes)
    if rule is _HOSTS:
        return later if earlier is None or is_null(earlier) else _append(host_list(earlier), host_list(later))
    if isinstance(later, Mapping):
        base = earlier if isinstance(earlier, Mapping) else None
        return _merge_mappings(base, later, {}, clashes, null_wins=rule.null_wins)
    if isinstance(later, Sequence):
        items = (*earlier.items, *later.items) if isinstance(earlier, Sequence) else later.items
        return Sequence(_unique(items, rule.identity or id), later.mark)
    return later


def _merge_mappings(
    earlier: Mapping | None, later: Mapping, rules: _Rules, clashes: Clashes, *, null_wins: bool = False
) -> Mapping:
    entries = dict(earlier.entries) if earlier is not None else {}
    keys = dict(earlier.keys) if earlier is not None else {}
    for key, entry in later.entries.items():
        before = entries.get(key)
        if before is not None and null_wins and is_null(entry):
            entries[key], keys[key] = entry, later.keys[key]
            continue
        rule = rules.get(key, rules.get("*"))
        merged = _merge(before, entry, rule, clashes)
        entries[key] = merged
        if merged is not before:
            keys[key] = later.keys[key]
    return Mapping(entries, keys, later.mark)


def _append(earlier: Node, later: Node) -> Node:
    """Doubles of the earlier list stay; of the later one comes what is not there."""
    if not isinstance(earlier, Sequence) or not isinstance(later, Sequence):
        return later
    found = {_whole(item): item for item in reversed(later.items)}
    known = {_whole(item) for item in earlier.items}
    return Sequence((*earlier.items, *(found[key] for key in reversed(found) if key not in known)), later.mark)


def _unique(items: Iterable[Node], identity: Identity) -> tuple[Node, ...]:
    found: dict[Hashable, Node] = {}
    for item in items:
        found[identity(item)] = item
    return tuple(found.values())


def _merge_pools(earlier: Node | None, later: Node, clashes: Clashes) -> Node:
    """Compose keeps the later file's pools only, each over the earlier one of the same subnet."""
    if not isinstance(earlier, Sequence) or not isinstance(later, Sequence):
        return later
    identity = _of_keys("subnet")
    before = {identity(pool): pool for pool in earlier.items}
    return Sequence(tuple(_merge(before.get(identity(pool)), pool, None, clashes) for pool in later.items), later.mark)


def _drivers_differ(earlier: Node | None, later: Node) -> bool:
    if not isinstance(earlier, Mapping) or not isinstance(later, Mapping):
        return False
    drivers = [text_of(node.entries.get("driver")) for node in (earlier, later)]
    return None not in drivers and drivers[0] != drivers[1]


def take_resets(root: Node) -> tuple[Node, list[Path]]:
    """Take ``!reset`` and ``!override`` out of a file.

    Returns the file without what is reset, and the paths of both kinds: those are to be removed from what
    was accumulated before the file is merged onto it.
    """
    paths: list[Path] = []
    return _take(root, (), paths), paths


def _take(node: Node, path: Path, paths: list[Path]) -> Node:
    if not isinstance(node, Mapping):
        return node
    entries: dict[str, Node] = {}
    for key, entry in node.entries.items():
        if entry.tag:
            paths.append((*path, key))
        if entry.tag != "!reset":
            entries[key] = _take(entry._replace(tag=""), (*path, key), paths)
    return with_entries(node, entries)


def remove(node: Node, path: Path) -> Node:
    """Return ``node`` without what is at ``path``; nothing there is no fault."""
    if not path or not isinstance(node, Mapping):
        return node
    key = str(path[0])
    if key not in node.entries:
        return node
    entries = dict(node.entries)
    if len(path) == 1:
        del entries[key]
    else:
        entries[key] = remove(entries[key], path[1:])
    return with_entries(node, entries)


def drop_nulls(later: Node, earlier: Node | None, path: Path = ()) -> Node:
    """Return ``later`` without the nulls that only repeat a key ``earlier`` has: they change nothing."""
    if not isinstance(later, Mapping) or not isinstance(earlier, Mapping):
        return later
    entries = {}
    for key, entry in later.entries.items():
        is_logging = key == "logging" and len(path) == 2 and path[0] == "services"
        is_there = key in earlier.entries and not is_null(earlier.entries[key])
        # Compose refuses to merge nothing onto `logging`, and onto that alone.
        if is_null(entry) and is_there and not is_logging:
            continue
        entries[key] = drop_nulls(entry, earlier.entries.get(key), (*path, key))
    return with_entries(later, entries)
