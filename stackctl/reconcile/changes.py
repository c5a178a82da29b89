"""What must happen to each resource, and why; no order yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stackctl import labels
from stackctl.diagnostics import Diagnostic
from stackctl.model.container import ContainerSpec, JoinNetworks
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer, ObservedNetwork
from stackctl.reconcile import ownership
from stackctl.reconcile.cascade import cascade
from stackctl.reconcile.claims import Holders
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.diff import compare, compare_networks
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.match import RUNNING, Matched, is_ours, is_temporary
from stackctl.reconcile.plan import Change, Reason
from stackctl.reconcile.policy import Policy


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes by key, and what the user should be told.

    ``services`` are those the plan is about: the ones asked for, and those that a replaced network brings in.
    """

    services: frozenset[str]
    networks: Mapping[ResourceKey, Change]
    volumes: Mapping[ResourceKey, Change]
    containers: Mapping[ResourceKey, Change]
    warnings: tuple[Diagnostic, ...] = ()


def networks_of(spec: ContainerSpec) -> list[str]:
    """Return the networks a container is on, by their real names."""
    networking = spec.networking
    if isinstance(networking, JoinNetworks):
        return [attachment.network for attachment in networking.attachments]
    return []


def find_changes(
    observed: Observed,
    matched: Matched,
    policy: Policy,
    traits: Traits,
    services: frozenset[str],
    order: Sequence[str],
) -> Changes:
    """Compare what should be with what is. Raises PlanError for what may not be touched.

    ``order`` has every service after those it depends on.
    """
    wanted = matched.wanted
    networks, warnings = _network_changes(wanted, observed, policy)
    volumes, notes = _volume_changes(wanted, observed)
    replaced = {change.name for change in networks.values() if change.kind == "replace"}
    services |= _drawn_in(matched, replaced)
    keys = [key for key in wanted.containers if key.name in services]
    going = {container.name for container in going_away(matched, policy, services)}
    ownership.check_names(observed, matched, keys, going)
    counts = {name: len(own) for name, own in wanted.by_service().items() if name in services}
    ownership.check_port_ranges(counts, wanted.stack, can_share=traits.can_share_ports)
    _check_network_users(wanted, observed, matched, networks, keys, going)
    containers = {key: _container_change(key, matched, policy, traits, replaced) for key in keys}
    _settle_ports(observed, matched, containers)
    _settle_networks(matched, networks, containers)
    cascade(matched, containers, order)
    return Changes(services, networks, volumes, containers, (*warnings, *notes))


def going_away(matched: Matched, policy: Policy, services: frozenset[str]) -> list[ObservedContainer]:
    """Return the containers that no key wants and that the plan removes."""
    scaled_down = [c for c in matched.scaled_down if c.key is not None and c.key.name in services]
    found = [*matched.surplus, *scaled_down]
    if policy.remove_orphans:
        found += [*matched.orphans, *(c for c in matched.oneoffs if c.state not in RUNNING)]
    return found


def _network_changes(
    wanted: Desired, observed: Observed, policy: Policy
) -> tuple[dict[ResourceKey, Change], list[Diagnostic]]:
    there = {network.name: network for network in observed.networks}
    found: dict[ResourceKey, Change] = {}
    warnings: list[Diagnostic] = []
    for key, spec in sorted(wanted.networks.items()):
        existing = there.get(spec.name)
        if spec.is_external:
            if existing is None:
                raise ownership.missing_external(wanted.stack, "network", key.name, spec.name)
            continue
        if existing is None:
            found[key] = Change(key, "create", spec.name)
            continue
        ownership.check_network_is_ours(wanted.stack, key.name, spec.name, existing.labels)
        reasons = _network_reasons(wanted, key, existing)
        if reasons and policy.recreate == "never":
            warnings.append(_network_kept(wanted, key, spec.name))
            reasons = ()
        found[key] = Change(key, "replace" if reasons else "keep", spec.name, reasons)
    return found, warnings


def _network_reasons(wanted: Desired, key: ResourceKey, existing: ObservedNetwork) -> tuple[Reason, ...]:
    if existing.spec is None:
        return ()
    where = wanted.stack.where("networks", key.name)
    differences = compare_networks(wanted.networks[key], existing.spec)
    return tuple(Reason(name, before, after, where) for name, before, after in differences)


def _network_kept(wanted: Desired, key: ResourceKey, name: str) -> Diagnostic:
    where = wanted.stack.where("networks", key.name)
    return Diagnostic(
        severity="warning",
        code="network-differs",
        summary="Network keeps its old definition",
        detail=f"the definition of network {name} changed, but nothing may be made anew.",
        hint="leave out --no-recreate to have it replaced, with the containers on it",
        sources=(where,) if where else (),
    )


def _volume_changes(wanted: Desired, observed: Observed) -> tuple[dict[ResourceKey, Change], list[Diagnostic]]:
    there = {volume.name: volume for volume in observed.volumes}
    found: dict[ResourceKey, Change] = {}
    warnings: list[Diagnostic] = []
    for key, spec in sorted(wanted.volumes.items()):
        existing = there.get(spec.name)
        if spec.is_external:
            if existing is None:
                raise ownership.missing_external(wanted.stack, "volume", key.name, spec.name)
            continue
        found[key] = Change(key, "keep" if existing else "create", spec.name)
        if existing is not None:
            differs = existing.spec is not None and existing.spec.options != spec.options
            warning = ownership.volume_warning(wanted.stack, key.name, spec.name, existing.labels, differs=differs)
            warnings += [warning] if warning else []
    return found, warnings


def _drawn_in(matched: Matched, replaced: set[str]) -> frozenset[str]:
    """Return the services with containers on a network that is replaced: they are made anew with it."""
    return frozenset(
        key.name
        for key, container in matched.current.items()
        if container.spec is not None and replaced.intersection(networks_of(container.spec))
    )


def _check_network_users(
    wanted: Desired,
    observed: Observed,
    matched: Matched,
    networks: Mapping[ResourceKey, Change],
    keys: Sequence[ResourceKey],
    going: set[str],
) -> None:
    handled = going | {matched.current[key].name for key in keys if key in matched.current}
    ended = {
        container.name
        for container in observed.containers
        if is_ours(container, observed.stack) and container.state not in RUNNING
    }
    there = {network.name: network for network in observed.networks}
    for key, change in networks.items():
        if change.kind == "replace":
            users = [name for name in there[change.name].containers if name not in handled | ended]
            if users:
                raise ownership.network_blocked(wanted.stack, key.name, change.name, users)


def _container_change(
    key: ResourceKey, matched: Matched, policy: Policy, traits: Traits, replaced_networks: set[str]
) -> Change:
    wanted = matched.wanted.containers[key].spec
    existing = matched.current.get(key)
    if existing is None:
        return Change(key, "create", wanted.name)
    reasons, live = _differences(wanted, existing, traits)
    if policy.recreate == "never":
        reasons = []
    reasons += _network_is_lost(wanted, existing, replaced_networks)
    reasons += _name_reasons(key, matched, wanted, existing, traits)
    if not reasons and (option := _forced_by(key, policy)):
        reasons = [Reason(f"asked for by {option}")]
    if reasons:
        return Change(key, "replace", wanted.name, tuple(reasons))
    if _is_renamed(wanted, existing):
        live.append(_renaming(wanted, existing))
    if existing.is_standby and existing.state in RUNNING:
        live.append(Reason("has no traffic: an update was interrupted"))
    if existing.state in ("created", "exited") and not _is_done(key, matched, existing):
        return Change(key, "start", wanted.name, (Reason(_why_start(existing)), *live))
    if existing.is_post_start_due and existing.state == "running":
        return Change(key, "start", wanted.name, (Reason("post_start has not run to its end"), *live))
    if not live and existing.state == "exited":
        return Change(key, "keep", wanted.name, (Reason("has done its work"),))
    return Change(key, "update" if live else "keep", wanted.name, tuple(live))


def _network_is_lost(wanted: ContainerSpec, existing: ObservedContainer, replaced: set[str]) -> list[Reason]:
    gone = [name for name in _live_networks(wanted, existing) if name in replaced]
    is_cut_off = existing.is_cut_off and not gone
    bridge = [Reason("is cut off from its network, whose bridge was deleted, taken down or made anew")]
    return [*(bridge if is_cut_off else []), *(Reason(f"network {name} is replaced") for name in gone)]


def _settle_ports(observed: Observed, matched: Matched, changes: dict[ResourceKey, Change]) -> None:
    """Have a container replaced whose host port cannot change hands while it runs; edits ``changes``.

    A port that is in the hands of another, who gives it up in the same plan, is free once that one has stopped.
    """
    moving = {key for key, change in changes.items() if change.kind == "update" and _moves_ports(matched, key)}
    if not moving:
        return
    holders = Holders(observed.containers)
    for key, change in list(changes.items()):
        if change.kind == "keep":
            continue
        for holder in holders.in_the_way_of(matched.wanted.containers[key].spec):
            stuck = {key} if change.kind == "update" else set()
            if holder.key is not None and matched.current.get(holder.key) is holder:
                stuck.add(holder.key)
            for other in stuck & moving:
                changes[other] = replace(changes[other], kind="replace")


def _settle_networks(
    matched: Matched, networks: Mapping[ResourceKey, Change], changes: dict[ResourceKey, Change]
) -> None:
    """Have a container replaced that goes from one network to a new one with a subnet of its own; edits ``changes``.

    That may be the subnet of the old one, which has to go first.
    """
    new = {change.name for key, change in networks.items() if change.kind == "create" and _has_subnet(matched, key)}
    for key, change in list(changes.items()):
        existing = matched.current.get(key)
        if not new or change.kind != "update" or existing is None or existing.spec is None:
            continue
        before, after = set(networks_of(existing.spec)), set(networks_of(matched.wanted.containers[key].spec))
        if before - after and after & new:
            changes[key] = replace(change, kind="replace")


def _has_subnet(matched: Matched, key: ResourceKey) -> bool:
    return bool(matched.wanted.networks[key].subnet)


def _moves_ports(matched: Matched, key: ResourceKey) -> bool:
    existing = matched.current.get(key)
    before = existing.spec if existing is not None else None
    return before is not None and before.ports != matched.wanted.containers[key].spec.ports


def _forced_by(key: ResourceKey, policy: Policy) -> str:
    """Return the option that wants the container replaced though nothing changed; "" for none."""
    is_dependency = bool(policy.services) and key.name not in policy.services
    if is_dependency:  # it is only brought up to date, unless asked for
        return "--always-recreate-deps" if policy.recreate_deps else ""
    return "--force-recreate" if policy.recreate == "force" else ""


def _live_networks(wanted: ContainerSpec, existing: ObservedContainer) -> list[str]:
    before = networks_of(existing.spec) if existing.spec is not None else []
    return list(dict.fromkeys([*networks_of(wanted), *before]))


def _is_renamed(wanted: ContainerSpec, existing: ObservedContainer) -> bool:
    return existing.name != wanted.name and not is_temporary(existing.name)


def _renaming(wanted: ContainerSpec, existing: ObservedContainer) -> Reason:
    where = wanted.origin.get("name") or wanted.origin.get("")
    return Reason("container_name", existing.name, wanted.name, where)


def _name_reasons(
    key: ResourceKey, matched: Matched, wanted: ContainerSpec, existing: ObservedContainer, traits: Traits
) -> list[Reason]:
    """A container is renamed in place, unless its new name is still that of another wanted one."""
    if existing.name == wanted.name:
        return []
    others = {container.name for other, container in matched.current.items() if other != key}
    if traits.can_rename and wanted.name not in others:
        return []
    return [_renaming(wanted, existing)]


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


def _is_done(key: ResourceKey, matched: Matched, existing: ObservedContainer) -> bool:
    """Whether it is a one-shot whose success somebody awaits, and which had it under this specification."""
    is_awaited = any(
        dependency.service == key.name and dependency.condition == "service_completed_successfully"
        for service in matched.wanted.stack.services.values()
        for dependency in service.depends_on
    )
    return is_awaited and existing.state == "exited" and existing.exit_code == 0
