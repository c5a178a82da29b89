"""What must happen to each resource, and why; no order yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.container import ContainerSpec, JoinNetworks, ShareNetwork
from stackctl.model.key import ResourceKey
from stackctl.model.network import NetworkSpec
from stackctl.model.observed import Observed, ObservedContainer, ObservedNetwork
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.diff import compare
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.match import Matched
from stackctl.reconcile.plan import Change, Reason
from stackctl.reconcile.policy import Policy


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes by key, and what the user should be told."""

    networks: Mapping[ResourceKey, Change]
    volumes: Mapping[ResourceKey, Change]
    containers: Mapping[ResourceKey, Change]
    warnings: tuple[Diagnostic, ...] = ()


def find_changes(
    desired: Desired, observed: Observed, matched: Matched, policy: Policy, traits: Traits, selected: frozenset[str]
) -> Changes:
    """Compare what should be with what is. Raises PlanError for what may not be touched."""
    networks = _network_changes(desired, observed)
    volumes, warnings = _volume_changes(desired, observed)
    replaced = {change.name for change in networks.values() if change.kind == "replace"}
    containers = {
        key: _container_change(key, desired, observed, matched, policy, traits, replaced)
        for key in desired.containers
        if key.name in selected
    }
    _cascade(desired, matched, containers)
    return Changes(networks, volumes, containers, tuple(warnings))


def _network_changes(desired: Desired, observed: Observed) -> dict[ResourceKey, Change]:
    there = {network.name: network for network in observed.networks}
    found = {}
    for key, spec in desired.networks.items():
        existing = there.get(spec.name)
        if spec.is_external:
            if existing is None:
                raise _missing_external(desired, "network", "networks", key.name, spec.name)
            continue
        if existing is None:
            found[key] = Change(key, "create", spec.name)
            continue
        _check_owner(desired, "network", "networks", key.name, spec.name, existing.labels)
        reasons = _network_reasons(desired, key, spec, existing)
        found[key] = Change(key, "replace" if reasons else "keep", spec.name, reasons)
    return found


def _network_reasons(
    desired: Desired, key: ResourceKey, spec: NetworkSpec, existing: ObservedNetwork
) -> tuple[Reason, ...]:
    if existing.spec is None:
        return ()
    reasons = []
    for name in ("is_internal", "driver", "subnet", "ip_range", "gateway", "enable_ipv6"):
        before, after = getattr(existing.spec, name), getattr(spec, name)
        if before != after:
            where = desired.stack.where("networks", key.name)
            reasons.append(Reason(name.removeprefix("is_"), str(before), str(after), where))
    return tuple(reasons)


def _volume_changes(desired: Desired, observed: Observed) -> tuple[dict[ResourceKey, Change], list[Diagnostic]]:
    there = {volume.name: volume for volume in observed.volumes}
    found: dict[ResourceKey, Change] = {}
    warnings: list[Diagnostic] = []
    for key, spec in desired.volumes.items():
        existing = there.get(spec.name)
        if spec.is_external:
            if existing is None:
                raise _missing_external(desired, "volume", "volumes", key.name, spec.name)
            continue
        found[key] = Change(key, "keep" if existing else "create", spec.name)
        if existing is None:
            continue
        is_ours = dict(existing.labels).get(labels.PROJECT) == desired.stack.name
        differs = existing.spec is not None and existing.spec.options != spec.options
        if not is_ours or differs:
            warnings.append(_volume_warning(desired, key, spec.name, is_ours))
    return found, warnings


def _volume_warning(desired: Desired, key: ResourceKey, name: str, is_ours: bool) -> Diagnostic:
    where = desired.stack.where("volumes", key.name)
    return Diagnostic(
        severity="warning",
        code="volume-differs" if is_ours else "volume-not-ours",
        summary="Volume keeps its old definition" if is_ours else "Volume was not made by this stack",
        detail=f"volume {name} exists already; it is used as it is.",
        hint="" if is_ours else "declare it as external: true if that is meant",
        sources=(where,) if where else (),
    )


def _missing_external(desired: Desired, kind: str, section: str, key: str, name: str) -> PlanError:
    where = desired.stack.where(section, key)
    diagnostic = Diagnostic(
        severity="error",
        code=f"external-{kind}-missing",
        summary=f"External {kind} does not exist",
        detail=f"{kind} {name} is declared as external, but there is none of that name.",
        hint=f"make it first, or remove external: true to have it made with the stack",
        sources=(where,) if where else (),
    )
    return PlanError(f"external {kind} {name} does not exist", code=f"external-{kind}-missing",
                     diagnostics=(diagnostic,))


def _check_owner(
    desired: Desired, kind: str, section: str, key: str, name: str, marks: tuple[tuple[str, str], ...]
) -> None:
    owner = dict(marks).get(labels.PROJECT, "")
    if owner == desired.stack.name:
        return
    where = desired.stack.where(section, key)
    whose = f"stack {owner}" if owner else "somebody else"
    diagnostic = Diagnostic(
        severity="error",
        code=f"{kind}-not-ours",
        summary=f"{kind.capitalize()} belongs to somebody else",
        detail=f"{kind} {name} exists and belongs to {whose}; it is not touched.",
        hint="choose another name, or declare it as external: true to use it",
        sources=(where,) if where else (),
    )
    raise PlanError(f"{kind} {name} belongs to {whose}", code=f"{kind}-not-ours", diagnostics=(diagnostic,))


def _container_change(
    key: ResourceKey,
    desired: Desired,
    observed: Observed,
    matched: Matched,
    policy: Policy,
    traits: Traits,
    replaced_networks: set[str],
) -> Change:
    wanted = desired.containers[key].spec
    existing = matched.current.get(key)
    _check_name_is_free(desired, observed, key, wanted.name)
    if existing is None:
        return Change(key, "create", wanted.name)
    reasons, live = _differences(wanted, existing, traits)
    gone = [name for name in _networks_of(wanted) if name in replaced_networks]
    reasons += [Reason(f"network {name} is replaced") for name in gone]
    if policy.recreate == "never" and not gone:
        reasons = []
    if policy.recreate == "force" and not reasons:
        reasons = [Reason("asked for by --force-recreate")]
    if reasons:
        return Change(key, "replace", wanted.name, tuple(reasons))
    if existing.state in ("created", "exited") and not _is_done(key, desired, existing):
        return Change(key, "start", wanted.name, (Reason(_why_start(existing)),))
    return Change(key, "update" if live else "keep", wanted.name, tuple(live))


def _differences(
    wanted: ContainerSpec, existing: ObservedContainer, traits: Traits
) -> tuple[list[Reason], list[Reason]]:
    if existing.spec is not None:
        found = compare(wanted, existing.spec, traits)
        return list(found.replacing), list(found.live)
    if existing.fingerprint == dict(wanted.labels).get(labels.CONFIG_HASH):
        return [], []
    return [Reason("its configuration changed", source=wanted.origin.get(""))], []


def _why_start(existing: ObservedContainer) -> str:
    return "is not started" if existing.state == "created" else f"exited ({existing.exit_code})"


def _is_done(key: ResourceKey, desired: Desired, existing: ObservedContainer) -> bool:
    """Whether it is a one-shot whose success somebody awaits, and which had it under this specification."""
    is_awaited = any(
        need.service == key.name and need.condition == "service_completed_successfully"
        for container in desired.containers.values()
        for need in container.needs
    )
    return is_awaited and existing.state == "exited" and existing.exit_code == 0


def _networks_of(spec: ContainerSpec) -> list[str]:
    if isinstance(spec.networking, JoinNetworks):
        return [attachment.network for attachment in spec.networking.attachments]
    return []


def _check_name_is_free(desired: Desired, observed: Observed, key: ResourceKey, name: str) -> None:
    for container in observed.containers:
        is_ours = container.label(labels.PROJECT) == desired.stack.name
        if container.name != name or is_ours:
            continue
        owner = container.label(labels.PROJECT)
        where = desired.stack.where("services", key.name, "container_name")
        diagnostic = Diagnostic(
            severity="error",
            code="container-name-taken",
            summary="Container name is taken",
            detail=f"container {name} exists and belongs to {f'stack {owner}' if owner else 'somebody else'}.",
            hint="choose another container_name, or remove that container first",
            sources=(where,) if where else (),
        )
        raise PlanError(f"container name {name} is taken", code="container-name-taken", diagnostics=(diagnostic,))


_DISRUPTIVE = ("replace", "restart", "start")


def _cascade(desired: Desired, matched: Matched, changes: dict[ResourceKey, Change]) -> None:
    """Restart what shares a network namespace with, or asked to be restarted with, something that stops."""
    progress = True
    while progress:
        progress = False
        for key, change in list(changes.items()):
            if change.kind not in ("keep", "update"):
                continue
            reason = _cascade_reason(desired, key, changes)
            existing = matched.current.get(key)
            if reason is not None and existing is not None and existing.state == "running":
                changes[key] = Change(key, "restart", change.name, (*change.reasons, reason))
                progress = True


def _cascade_reason(desired: Desired, key: ResourceKey, changes: Mapping[ResourceKey, Change]) -> Reason | None:
    container = desired.containers[key]
    stopped = {change.name: other for other, change in changes.items() if change.kind in ("replace", "restart")}
    started = {change.name: other for other, change in changes.items() if change.kind in _DISRUPTIVE}
    networking = container.spec.networking
    if isinstance(networking, ShareNetwork) and networking.container in started:
        return Reason(f"shares the network of {networking.container}, which is started anew")
    for need in container.needs:
        if need.restart and any(other.name == need.service for other in stopped.values()):
            return Reason(f"depends on {need.service} with restart: true")
    return None
