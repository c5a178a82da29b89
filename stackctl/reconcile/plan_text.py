"""A plan as text: one line a step for tests and logs, a summary for people. Pure."""

from __future__ import annotations

from typing import Final, assert_never

from stackctl.reconcile.action import (
    Action,
    AwaitCondition,
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KillContainer,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwitchTraffic,
    UpdateContainer,
)
from stackctl.reconcile.plan import Change, ChangeKind, Plan, Step
from stackctl.reconcile.service_action import (
    AwaitService,
    CreateContent,
    CreateService,
    RemoveContent,
    RemoveService,
    ServiceAction,
    UpdateService,
)

_SYMBOLS: Final[dict[ChangeKind, str]] = {
    "create": "+",
    "start": ">",
    "update": "~",
    "restart": "±",
    "replace": "±",
    "remove": "-",
    "stop": "-",
    "kill": "-",
    "keep": " ",
}
_WHAT: Final = {
    "create": "create",
    "start": "start",
    "update": "update in place",
    "restart": "restart",
    "replace": "replace",
    "remove": "remove",
    "stop": "stop",
    "kill": "kill",
}


def action_title(action: Action) -> str:
    """Return an action in a few words: ``start shop-web-1``."""
    match action:
        case PullImage(reference):
            return f"pull image {reference}"
        case BuildImage(reference):
            return f"build image {reference}"
        case CreateNetwork(spec):
            return f"create network {spec.name}"
        case CreateVolume(spec):
            return f"create volume {spec.name}"
        case CreateContainer(spec):
            return f"create {spec.name}"
        case RemoveNetwork(name):
            return f"remove network {name}"
        case RemoveVolume(name):
            return f"remove volume {name}"
        case RenameContainer(name, new_name):
            return f"rename {name} to {new_name}"
        case CreateContent() | RemoveContent() | CreateService() | UpdateService() | RemoveService() | AwaitService():
            return _service_title(action)
        case _:
            return _container_title(action)


def _container_title(
    action: KillContainer
    | StartContainer
    | SwitchTraffic
    | StopContainer
    | RemoveContainer
    | UpdateContainer
    | AwaitCondition,
) -> str:
    match action:
        case KillContainer(name, _, signal):
            return f"kill {name} with {signal}"
        case StartContainer(name):
            return f"start {name}"
        case SwitchTraffic(name, replaced):
            return f"switch traffic of {replaced} to {name}" if replaced else f"switch traffic to {name}"
        case StopContainer(name):
            return f"stop {name}"
        case RemoveContainer(name):
            return f"remove {name}"
        case UpdateContainer(name):
            return f"update {name}"
        case AwaitCondition(names, condition):
            return f"await {condition.removeprefix('service_')} of {' '.join(names)}"
        case _:
            assert_never(action)


def _service_title(action: ServiceAction) -> str:
    match action:
        case CreateContent(spec):
            return f"create {spec.kind} {spec.name}"
        case RemoveContent(kind, name):
            return f"remove {kind} {name}"
        case CreateService(service):
            return f"create service {service.name}"
        case UpdateService(service):
            return f"update service {service.name}"
        case RemoveService(name):
            return f"remove service {name}"
        case AwaitService(name, condition):
            return f"await {condition.removeprefix('service_')} of service {name}"
        case _:
            assert_never(action)


def plan_text(plan: Plan) -> str:
    """Return one line a step: number, action, why, and what it comes after. "" for an empty plan."""
    rows = [(str(step.number), action_title(step.action), step.because, _edges(step)) for step in plan.steps]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = []
    for row in rows:
        cells = [row[column].ljust(widths[column]) for column in range(3)]
        lines.append(" ".join([*cells, row[3]]).rstrip())
    return "".join(line + "\n" for line in lines)


def _edges(step: Step) -> str:
    parts = []
    if step.after:
        parts.append("after " + " ".join(map(str, step.after)))
    if step.soft_after:
        parts.append("once ended " + " ".join(map(str, step.soft_after)))
    most = f"more than {step.tolerance}" if step.tolerance else "any"
    if step.while_well:
        parts.append(f"unless {most} failed of " + " ".join(map(str, step.while_well)))
    if step.only_if_failed:
        parts.append(f"only if {most} failed of " + " ".join(map(str, step.only_if_failed)))
    return ", ".join(parts)


def plan_summary(plan: Plan) -> str:
    """Return what a person reads before saying yes: each resource with its reasons, then a count."""
    if plan.is_empty:
        return f"Stack {plan.stack}: nothing to do.\n"
    lines = [f"Stack {plan.stack}:", ""]
    for change in plan.changes:
        if change.kind == "keep":
            continue
        what = f"{_WHAT[change.kind]}, {change.how}" if change.how else _WHAT[change.kind]
        lines.append(f"  {_SYMBOLS[change.kind]} {change.key.kind} {change.name}  ({what})")
        lines += [f"      {reason}" for reason in change.reasons]
    lines += [f"  + {action_title(step.action)}" for step in plan.steps if isinstance(step.action, PullImage)]
    builds = [step for step in plan.steps if isinstance(step.action, BuildImage)]
    for step in builds:
        lines += [f"  + {action_title(step.action)}", f"      {step.because}" + _place(step)]
    lines += ["", "Plan: " + _counts(plan.changes, len(builds)) + "."]
    destroyed = [step for step in plan.steps if step.disruption == "destroys data"]
    if destroyed:
        lines.append(f"This destroys data: {', '.join(action_title(step.action) for step in destroyed)}.")
    return "\n".join(lines) + "\n"


def _place(step: Step) -> str:
    return f"  ({step.source})" if step.source else ""


def _counts(changes: tuple[Change, ...], builds: int) -> str:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    parts = [f"{builds} to build"] if builds else []
    parts += [f"{counts[kind]} to {kind}" for kind in _WHAT if counts.get(kind)]
    return ", ".join(parts) or "no resource changes, only what is left over is mended"
