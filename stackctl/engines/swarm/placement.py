"""Whether any machine could run a service's tasks: seen before the change, not after a wait in vain. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.service import ServiceSpec
from stackctl.reconcile.services.desired import DesiredServices

Shape = Mapping[str, Any]
_LABELS: Final = {"node.labels.": ("Spec", "Labels"), "engine.labels.": ("Description", "Engine", "Labels")}
_FACTS: Final = {
    "node.id": ("ID",),
    "node.hostname": ("Description", "Hostname"),
    "node.role": ("Spec", "Role"),
    "node.platform.os": ("Description", "Platform", "OS"),
    "node.platform.arch": ("Description", "Platform", "Architecture"),
}


def check_placement(desired: DesiredServices, nodes: Sequence[Shape], services: Collection[str]) -> None:
    """Raise PlanError, with every service of ``services`` that no machine, or too few, could run."""
    found = []
    for key, spec in desired.services.items():
        if key.name in services and (why := _why_not(spec, nodes)):
            where = spec.origin.get("placement") or spec.origin.get("reservations") or spec.origin.get("")
            found.append(
                Diagnostic(
                    severity="error",
                    code="placement-impossible",
                    summary="No machine can run the service",
                    detail=f"service {key.name}: {why}.",
                    hint="look at the machines: docker node ls; nothing was changed",
                    sources=(where,) if where is not None else (),
                )
            )
    if found:
        raise PlanError(found[0].detail, code="placement-impossible", diagnostics=found)


def wanted_tasks(spec: ServiceSpec, nodes: Sequence[Shape]) -> int:
    """Return how many tasks are to run: of a global service one on each machine that may run it.

    The engine's own number of wanted tasks leaves out those that are about to get a successor.
    """
    if spec.mode not in ("global", "global-job"):
        return spec.replicas
    ready = _ready(nodes)
    return sum(1 for node in ready if all(_fulfils(node, text) for text in spec.placement.constraints))


def _ready(nodes: Sequence[Shape]) -> list[Shape]:
    ready = [node for node in nodes if _fact(node, ("Status", "State")) == "ready"]
    return [node for node in ready if _fact(node, ("Spec", "Availability")) == "active"]


def _why_not(spec: ServiceSpec, nodes: Sequence[Shape]) -> str:
    if spec.mode == "replicated" and not spec.replicas:
        return ""
    ready = _ready(nodes)
    if not ready:
        return "no machine of the Swarm is ready and active"
    left = ready
    for constraint in spec.placement.constraints:
        left = [node for node in left if _fulfils(node, constraint)]
        if not left:
            return f"none of {len(ready)} machines fulfils {constraint}" + (
                " besides the constraints before it" if constraint != spec.placement.constraints[0] else ""
            )
    roomy = [node for node in left if _has_room(node, spec)]
    if not roomy:
        return f"none of {len(left)} machines is as large as what it reserves"
    most = spec.placement.max_per_node
    if spec.mode == "replicated" and most and most * len(roomy) < spec.replicas:
        return f"{spec.replicas} replicas do not fit on {len(roomy)} machines with at most {most} each"
    return ""


def _fulfils(node: Shape, constraint: str) -> bool:
    """Source: swarmkit, constraint.go: without regard to case; what nobody knows is left to the engine."""
    is_wanted = "==" in constraint
    key, _, value = constraint.partition("==" if is_wanted else "!=")
    key, value = key.strip(), value.strip().lower()
    actual = None
    for beginning, path in _LABELS.items():
        if key.startswith(beginning):
            marks = _fact(node, path) or {}
            actual = str(marks.get(key.removeprefix(beginning), ""))
    if key in _FACTS:
        actual = str(_fact(node, _FACTS[key]) or "")
    if actual is None:
        return True
    if key == "node.platform.arch":
        actual, value = _architecture(actual), _architecture(value)
    return (actual.lower() == value) == is_wanted


def _architecture(name: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)


def _has_room(node: Shape, spec: ServiceSpec) -> bool:
    resources = _fact(node, ("Description", "Resources")) or {}
    asked = spec.reservations
    has_cpus = asked.nano_cpus <= int(resources.get("NanoCPUs") or 0)
    return has_cpus and asked.memory_bytes <= int(resources.get("MemoryBytes") or 0)


def _fact(node: Shape, path: Sequence[str]) -> Any:
    found: Any = node
    for key in path:
        found = (found or {}).get(key)
    return found
