"""Who must follow when another container is made anew or started again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackctl.model.container import ShareNetwork, namespace_owners
from stackctl.model.key import ResourceKey
from stackctl.model.observed import ObservedContainer
from stackctl.reconcile.match import Matched
from stackctl.reconcile.plan import Change, ChangeKind, Reason

Verdict = tuple[ChangeKind, Reason]


def cascade(matched: Matched, changes: dict[ResourceKey, Change], order: Sequence[str]) -> None:
    """Change what is kept, where it cannot stay as it is; edits ``changes``.

    A container that shares a namespace of another follows it: the namespace dies with its owner. One
    that depends with ``restart: true`` is restarted. An earlier plan may have come only half that far, so
    what counts is also whether a running container is older than what it depends on. ``order`` has every
    service after its dependencies, so one pass is enough.
    """
    by_service = matched.wanted.by_service()
    owners = {container.spec.name: key for key, container in matched.wanted.containers.items()}
    for service in order:
        for key in by_service[service]:
            change, existing = changes.get(key), matched.current.get(key)
            if change is None or existing is None or change.kind == "replace":
                continue
            verdict = _for_sharer(matched, changes, owners, key, existing)
            if verdict is None and existing.state == "running":
                verdict = _for_dependent(matched, changes, by_service, key, existing)
            if verdict is not None:
                kind, reason = verdict
                changes[key] = Change(key, kind, change.name, (*change.reasons, reason))


def _for_sharer(
    matched: Matched,
    changes: Mapping[ResourceKey, Change],
    owners: Mapping[str, ResourceKey],
    key: ResourceKey,
    existing: ObservedContainer,
) -> Verdict | None:
    spec = matched.wanted.containers[key].spec
    what = "network" if isinstance(spec.networking, ShareNetwork) else "namespace"
    verdict: Verdict | None = None
    for name in namespace_owners(spec):
        owner = owners.get(name)
        change, current = (changes.get(owner), matched.current.get(owner)) if owner is not None else (None, None)
        if change is not None and change.kind in ("replace", "create"):
            return "replace", Reason(f"shares the {what} of {name}, which is made anew")
        is_restarted = change is not None and change.kind in ("start", "restart")
        is_stale = current is not None and current.started_ns > existing.started_ns
        if existing.state == "running" and (is_restarted or is_stale):
            verdict = "restart", Reason(f"shares the {what} of {name}, which was started anew")
    return verdict


def _for_dependent(
    matched: Matched,
    changes: Mapping[ResourceKey, Change],
    by_service: Mapping[str, list[ResourceKey]],
    key: ResourceKey,
    existing: ObservedContainer,
) -> Verdict | None:
    for need in matched.wanted.containers[key].needs:
        others = by_service.get(need.service, [])
        if not need.restart or not others:
            continue
        kinds = [changes[other].kind for other in others if other in changes]
        is_changed = "replace" in kinds or "restart" in kinds
        if is_changed or all(_is_younger(matched, changes, other, existing) for other in others):
            return "restart", Reason(f"depends on {need.service} with restart: true")
    return None


def _is_younger(
    matched: Matched,
    changes: Mapping[ResourceKey, Change],
    other: ResourceKey,
    existing: ObservedContainer,
) -> bool:
    change, current = changes.get(other), matched.current.get(other)
    if change is not None and change.kind == "create":
        return True
    return current is not None and current.created_ns > existing.started_ns
