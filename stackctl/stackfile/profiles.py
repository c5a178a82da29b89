"""Profiles: which services are switched on."""

from __future__ import annotations

from collections.abc import Iterable

from stackctl.stackfile.node import Mapping, Node, Sequence, child_mapping, text_of, with_entries


def select(root: Mapping, *, profiles: Iterable[str], named: Iterable[str]) -> tuple[Mapping, tuple[str, ...]]:
    """Return the tree with only the services that are on, and the names of the others.

    A service without profiles is always on; ``*`` switches all on; naming a service switches on all of its
    profiles.
    """
    services = child_mapping(root, "services")
    if services is None:
        return root, ()
    active = set(profiles) or {""}  # an empty name came of a variable that is not set, and is no profile
    for name in named:
        active |= profiles_of(services.entries.get(name))
    on = {name: node for name, node in services.entries.items() if _is_on(node, active)}
    off = tuple(name for name in services.entries if name not in on)
    return with_entries(root, {**root.entries, "services": with_entries(services, on)}), off


def with_dependencies(root: Mapping, named: Iterable[str]) -> Mapping:
    """Return the tree with only these services and what they depend on."""
    services = child_mapping(root, "services")
    if services is None:
        return root
    kept: set[str] = set()
    left = list(named)
    while left:
        name = left.pop()
        if name not in kept and name in services.entries:
            kept.add(name)
            needed = child_mapping(services.entries[name], "depends_on")
            left += needed.entries if needed is not None else ()
    found = {name: node for name, node in services.entries.items() if name in kept}
    return with_entries(root, {**root.entries, "services": with_entries(services, found)})


def profiles_of(service: Node | None) -> set[str]:
    """Return the profiles a service is in."""
    listed = service.entries.get("profiles") if isinstance(service, Mapping) else None
    items = listed.items if isinstance(listed, Sequence) else ()
    return {text for item in items if (text := text_of(item)) is not None}


def _is_on(service: Node, active: set[str]) -> bool:
    wanted = profiles_of(service)
    return not wanted or "*" in active or bool(wanted & active)
