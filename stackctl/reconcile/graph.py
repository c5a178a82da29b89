"""The dependency graph: orders, what lies below, and cycles. The only home of networkx."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import PlanError
from stackctl.model.stack import Stack
from stackctl.reconcile.replica import dependencies

if TYPE_CHECKING:
    import networkx

Edges = Mapping[str, Collection[str]]


def _graph(edges: Edges) -> networkx.DiGraph[str]:
    import networkx  # 200 ms, once in the daemon's life

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_nodes_from(sorted(edges))
    graph.add_edges_from((name, target) for name in sorted(edges) for target in sorted(edges[name]))
    return graph


def edges_of(stack: Stack) -> dict[str, list[str]]:
    """Return what each service of the stack depends on."""
    return {
        name: [need.service for need in dependencies(service) if need.service in stack.services]
        for name, service in stack.services.items()
    }


def service_order(stack: Stack) -> list[str]:
    """Return every service after those it depends on; equal ones by name.

    Raises PlanError with the lines of the circle when services depend on each other in one.
    """
    edges = edges_of(stack)
    if not any(edges.values()):
        return sorted(edges)
    cycle = find_cycle(edges)
    if cycle:
        raise _circle(stack, cycle)
    return dependency_order(edges)


def dependency_order(edges: Edges) -> list[str]:
    """Return every service after those it depends on; equal ones by name. ``edges`` has no cycle."""
    if not any(edges.values()):
        return sorted(edges)
    import networkx

    graph = _graph(edges)
    return list(networkx.lexicographical_topological_sort(graph.reverse(copy=False)))


def find_cycle(edges: Edges) -> list[str]:
    """Return the services of one circle, the first by name first; [] when there is none."""
    if not any(edges.values()):
        return []
    import networkx

    try:
        cycle = [edge[0] for edge in networkx.find_cycle(_graph(edges))]
    except networkx.NetworkXNoCycle:
        return []
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[:start]]


def with_dependencies(edges: Edges, services: Iterable[str]) -> set[str]:
    """Return the services and everything they depend on."""
    found = set(services)
    if not any(edges.get(service) for service in found):
        return found
    import networkx

    graph = _graph(edges)
    for service in list(found):
        if service in graph:
            found |= networkx.descendants(graph, service)
    return found


def _circle(stack: Stack, cycle: list[str]) -> PlanError:
    chain = " -> ".join([*cycle, cycle[0]])
    sources = tuple(
        place
        for name, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        if (place := _where(stack, name, following)) is not None
    )
    diagnostic = Diagnostic(
        severity="error",
        code="dependency-cycle",
        summary="Services depend on each other in a circle",
        detail=f"{chain}: none of them could start first.",
        hint="remove one of these depends_on entries",
        sources=sources,
    )
    return PlanError(
        f"services depend on each other in a circle: {chain}",
        code="dependency-cycle",
        hint=diagnostic.hint,
        diagnostics=(diagnostic,),
    )


def _where(stack: Stack, service: str, dependency: str) -> SourceRange | None:
    written = stack.positions.get(("services", service, "depends_on", dependency))
    return written or stack.where("services", service, "network_mode")
