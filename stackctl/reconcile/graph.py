"""The dependency graph: orders, what lies below, and cycles. The only home of networkx."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stackctl.diagnostics import Diagnostic
from stackctl.errors import PlanError
from stackctl.model.stack import Stack

if TYPE_CHECKING:
    import networkx

Edges = Mapping[str, Iterable[str]]


def _graph(edges: Edges) -> networkx.DiGraph[str]:
    import networkx  # 200 ms, once in the daemon's life

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_nodes_from(sorted(edges))
    graph.add_edges_from((name, target) for name in sorted(edges) for target in sorted(edges[name]))
    return graph


def dependency_order(edges: Edges) -> list[str]:
    """Return every service after those it depends on; equal ones by name. ``edges`` has no cycle."""
    import networkx

    graph = _graph(edges)
    return list(networkx.lexicographical_topological_sort(graph.reverse(copy=False)))


def with_dependencies(edges: Edges, services: Iterable[str]) -> set[str]:
    """Return the services and everything they depend on."""
    import networkx

    graph = _graph(edges)
    found = set(services)
    for service in list(found):
        if service in graph:
            found |= networkx.descendants(graph, service)
    return found


def with_dependents(edges: Edges, services: Iterable[str]) -> set[str]:
    """Return the services and everything that depends on them."""
    import networkx

    graph = _graph(edges)
    found = set(services)
    for service in list(found):
        if service in graph:
            found |= networkx.ancestors(graph, service)
    return found


def check_cycles(stack: Stack) -> None:
    """Raise PlanError with the cycle and its lines, when services depend on each other in a circle."""
    import networkx

    edges = {name: needs_of(stack, name) for name in stack.services}
    graph = _graph(edges)
    try:
        cycle = [edge[0] for edge in networkx.find_cycle(graph)]
    except networkx.NetworkXNoCycle:
        return
    start = cycle.index(min(cycle))
    cycle = [*cycle[start:], *cycle[:start]]
    chain = " -> ".join([*cycle, cycle[0]])
    sources = tuple(
        place
        for name, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        if (place := stack.where("services", name, "depends_on", following)) is not None
    )
    diagnostic = Diagnostic(
        severity="error",
        code="dependency-cycle",
        summary="Services depend on each other in a circle",
        detail=f"{chain}: none of them could start first.",
        hint="remove one of these depends_on entries",
        sources=sources,
    )
    raise PlanError(f"services depend on each other in a circle: {chain}", code="dependency-cycle",
                    diagnostics=(diagnostic,))


def needs_of(stack: Stack, name: str) -> list[str]:
    """Return the services of the stack that ``name`` depends on."""
    from stackctl.model.stack import ShareServiceNetwork

    service = stack.services[name]
    needs = [dependency.service for dependency in service.depends_on]
    if isinstance(service.networking, ShareServiceNetwork):
        needs.append(service.networking.service)
    return [need for need in dict.fromkeys(needs) if need in stack.services]
