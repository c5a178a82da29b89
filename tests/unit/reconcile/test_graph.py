"""The order of services and what lies below one, compared with networkx; the circle that an error shows."""

from __future__ import annotations

import subprocess
import sys

import networkx
from hypothesis import given
from hypothesis import strategies as st

from stackctl.reconcile.graph import dependency_order, find_cycle, with_dependencies

Graph = dict[str, list[str]]
_NAMES = "abcdefg"
_ANY = st.dictionaries(st.sampled_from(_NAMES), st.lists(st.sampled_from(_NAMES), unique=True, max_size=4)).map(
    lambda edges: {name: edges.get(name, []) for name in _NAMES}
)


def _graph(edges: Graph) -> networkx.DiGraph[str]:
    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((name, target) for name, targets in edges.items() for target in targets)
    return graph


@given(_ANY, st.permutations(_NAMES))
def test_services_come_after_what_they_depend_on_and_equal_ones_by_name(edges: Graph, rank: list[str]) -> None:
    acyclic = {name: [to for to in targets if rank.index(to) < rank.index(name)] for name, targets in edges.items()}
    expected = list(networkx.lexicographical_topological_sort(_graph(acyclic).reverse()))
    assert dependency_order(acyclic) == expected
    assert find_cycle(acyclic) == []


@given(_ANY, st.sampled_from(_NAMES))
def test_below_a_service_lies_all_that_can_be_reached(edges: Graph, service: str) -> None:
    assert with_dependencies(edges, [service]) == networkx.descendants(_graph(edges), service) | {service}


@given(_ANY)
def test_a_circle_is_shown_exactly_when_there_is_one(edges: Graph) -> None:
    cycle = find_cycle(edges)
    assert bool(cycle) != networkx.is_directed_acyclic_graph(_graph(edges))
    assert all(following in edges[name] for name, following in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))


def test_the_shortest_circle_is_shown() -> None:
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": ["c"]}) == ["c", "d"]
    assert find_cycle({"a": ["b"], "b": ["b"]}) == ["b"]


def test_orders_are_found_without_networkx() -> None:
    code = """if True:
        import sys
        from stackctl.reconcile import graph
        edges = {"a": ["b"], "b": []}
        graph.dependency_order(edges), graph.find_cycle(edges), graph.with_dependencies(edges, "a")
        sys.exit("networkx" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
