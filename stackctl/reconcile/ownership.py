"""What may not be touched: things with a wanted name that are not the stack's own. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from stackctl import labels
from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import PlanError
from stackctl.model.key import ResourceKey
from stackctl.model.observed import Observed, ObservedContainer
from stackctl.model.stack import Stack
from stackctl.reconcile.match import Matched, is_ours


def missing_external(stack: Stack, kind: str, key: str, name: str) -> PlanError:
    """Return the refusal for an external network or volume that does not exist."""
    where = stack.where(f"{kind}s", key)
    code = f"external-{kind}-missing"
    diagnostic = Diagnostic(
        severity="error",
        code=code,
        summary=f"External {kind} does not exist",
        detail=f"{kind} {name} is declared as external, but there is none of that name.",
        hint=f"make it first (`stackctl {kind} create {name}`), or remove external: true: the stack then makes it",
        sources=_places(where),
    )
    return PlanError(
        f"external {kind} {name} does not exist", code=code, hint=diagnostic.hint, diagnostics=(diagnostic,)
    )


def check_network_is_ours(stack: Stack, key: str, name: str, marks: Sequence[tuple[str, str]]) -> None:
    """Raise PlanError when an existing network of a wanted name is not the stack's."""
    owner = dict(marks).get(labels.PROJECT, "")
    if owner == stack.name:
        return
    whose = f"belongs to stack {owner}" if owner else "was not made by a stack"
    diagnostic = Diagnostic(
        severity="error",
        code="network-not-ours",
        summary="Network exists but is not this stack's",
        detail=f"network {name} {whose}; it is not touched.",
        hint="declare it as external: true to use it, give the stack's own another name:, or remove it",
        sources=_places(stack.where("networks", key)),
    )
    raise PlanError(
        f"network {name} exists but is not ours: it {whose}",
        code="network-not-ours",
        hint=diagnostic.hint,
        diagnostics=(diagnostic,),
    )


def volume_warning(
    stack: Stack, key: str, name: str, marks: Sequence[tuple[str, str]], *, differs: bool
) -> Diagnostic | None:
    """Return what to say about an existing volume of a wanted name, None for nothing; it is used as it is."""
    owner = dict(marks).get(labels.PROJECT, "")
    if owner != stack.name:
        whose = f"belongs to stack {owner}" if owner else "was not made by a stack"
        return Diagnostic(
            severity="warning",
            code="volume-not-ours",
            summary="Volume exists but is not this stack's",
            detail=f"volume {name} {whose}; it is used as it is, and never removed with the stack.",
            hint="declare it as external: true if that is meant",
            sources=_places(stack.where("volumes", key)),
        )
    if not differs:
        return None
    return Diagnostic(
        severity="warning",
        code="volume-differs",
        summary="Volume keeps its old definition",
        detail=f"volume {name} was made with other driver options; it is used as it is.",
        hint="to have it made anew, save what it holds and remove it: its content goes with it",
        sources=_places(stack.where("volumes", key)),
    )


def check_names(observed: Observed, matched: Matched, keys: Collection[ResourceKey], going: Collection[str]) -> None:
    """Raise PlanError when a wanted container name stays with another container.

    ``keys`` are the containers the plan is about, ``going`` the names of those it removes.
    """
    holders = {container.name: container for container in observed.containers}
    wanted = matched.wanted
    # Whoever is to get another name frees the one it has.
    moving = {
        matched.current[key].name
        for key in keys
        if key in matched.current and matched.current[key].name != wanted.containers[key].spec.name
    }
    claimed: dict[str, ResourceKey] = {}
    for key in sorted(wanted.containers):
        name = wanted.containers[key].spec.name
        if name in claimed:
            raise _name_wanted_twice(wanted.stack, claimed[name], key, name)
        claimed[name] = key
        holder = holders.get(name)
        if key not in keys or holder is None or holder is matched.current.get(key):
            continue
        is_foreign = not is_ours(holder, observed.stack)
        if is_foreign or name not in moving.union(going):
            raise _name_taken(wanted.stack, key, name, holder, is_foreign=is_foreign)


def _name_wanted_twice(stack: Stack, first: ResourceKey, second: ResourceKey, name: str) -> PlanError:
    diagnostic = Diagnostic(
        severity="error",
        code="container-name-twice",
        summary="Two containers want the same name",
        detail=f"services {first.name} and {second.name} both want the container name {name}.",
        hint="choose another container_name",
        sources=tuple(
            place
            for key in (first, second)
            for place in _places(stack.positions.get(("services", key.name, "container_name")))
        ),
    )
    return PlanError(
        f"services {first.name} and {second.name} both want the container name {name}",
        code="container-name-twice",
        hint=diagnostic.hint,
        diagnostics=(diagnostic,),
    )


def _name_taken(stack: Stack, key: ResourceKey, name: str, holder: ObservedContainer, *, is_foreign: bool) -> PlanError:
    whose, hint = _holder(stack, holder, is_foreign=is_foreign)
    diagnostic = Diagnostic(
        severity="error",
        code="container-name-taken",
        summary="Container name is taken",
        detail=f"service {key.name} wants the name {name}, but that container {whose}.",
        hint=hint,
        sources=_places(stack.where("services", key.name, "container_name")),
    )
    return PlanError(
        f"container name {name} is taken: that container {whose}",
        code="container-name-taken",
        hint=hint,
        diagnostics=(diagnostic,),
    )


def _holder(stack: Stack, holder: ObservedContainer, *, is_foreign: bool) -> tuple[str, str]:
    """Return whose the container is, and what can be done."""
    owner = holder.label(labels.PROJECT)
    service = holder.label(labels.SERVICE)
    if is_foreign and owner:
        return f"belongs to service {service} of stack {owner}", "choose another container_name"
    if is_foreign:
        return "was not made by a stack", "choose another container_name, or remove that container first"
    if holder.is_oneoff:
        return f"is a one-off of service {service}", "remove that container first"
    if service not in stack.services and service not in stack.disabled_services:
        return f"is left from service {service}, which the stack no longer has", "add --remove-orphans"
    return f"belongs to service {service} of this stack", f"name service {service} as well, or name none"


def network_blocked(stack: Stack, key: str, name: str, users: Sequence[str]) -> PlanError:
    """Return the refusal to replace a network that containers outside of the plan are on."""
    who = ", ".join(sorted(users))
    diagnostic = Diagnostic(
        severity="error",
        code="network-in-use",
        summary="Network must be replaced, but others are on it",
        detail=f"the definition of network {name} changed; the plan cannot make {who} anew.",
        hint="remove or disconnect them first; nothing was changed",
        sources=_places(stack.where("networks", key)),
    )
    return PlanError(
        f"network {name} must be replaced, but containers outside of the plan are on it: {who}",
        code="network-in-use",
        hint=diagnostic.hint,
        diagnostics=(diagnostic,),
    )


def check_port_ranges(wanted: Mapping[str, int], stack: Stack, *, can_share: bool = True) -> None:
    """Raise PlanError when there are less host ports than replicas, by service. Replicas may share a fixed one."""
    for name, count in sorted(wanted.items()):
        for at, port in enumerate(stack.services[name].ports):
            room = port.host_last - port.host_first + 1
            is_shared = port.host_first == port.host_last and (can_share or not port.host_first)
            if is_shared or room >= count:
                continue
            ports = f"{port.host_first}-{port.host_last}" if room > 1 else str(port.host_first)
            few = f"only {room} ports" if room > 1 else "one port, which this engine gives to one container alone"
            hint = "widen the range, or publish one fixed port: replicas share it"
            diagnostic = Diagnostic(
                severity="error",
                code="port-range-too-small",
                summary="More replicas than host ports",
                detail=f"service {name} has {count} replicas, and {ports} is {few}.",
                hint=hint if can_share else f"publish a range, {port.host_first}-{port.host_first + count - 1}",
                sources=_places(stack.where("services", name, "ports", at)),
            )
            raise PlanError(
                f"service {name} has {count} replicas for {room} host port{'s' * (room > 1)} ({ports})",
                code="port-range-too-small",
                hint=diagnostic.hint,
                diagnostics=(diagnostic,),
            )


def _places(where: SourceRange | None) -> tuple[SourceRange, ...]:
    return (where,) if where is not None else ()
