"""The dependency graph: orders, what lies below, and cycles. The only home of networkx.

Orders are asked for by every plan, so the standard library answers: networkx, 200 ms and 14 MiB that the daemon
would keep, is loaded only to say what is wrong with a graph.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.errors import PlanError
from stackctl.model.stack import Stack
from stackctl.reconcile.replica import dependencies

Edges = Mapping[str, Collection[str]]


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
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
    return order


def find_cycle(edges: Edges) -> list[str]:
    """Return the services of one circle, the first by name first; [] when there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError:
        return _shortest_cycle(edges)
    return []


def _shortest_cycle(edges: Edges) -> list[str]:
    import networkx  # 200 ms, for an error

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_edges_from((name, target) for name in sorted(edges) for target in sorted(edges[name]))
    circles = (
        networkx.shortest_path(graph, target, name)
        for name, target in graph.edges
        if networkx.has_path(graph, target, name)
    )
    cycle = min(circles, key=lambda circle: (len(circle), sorted(circle)))
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[:start]]


def with_dependencies(edges: Edges, services: Iterable[str]) -> set[str]:
    """Return the services and everything they depend on."""
    found: set[str] = set()
    waiting = list(services)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(edges.get(name, ()))
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
