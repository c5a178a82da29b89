"""Finding services that wait for each other in a circle."""

from __future__ import annotations

from stackctl.stackfile.node import Json
from stackctl.stackfile.problems import Problems
from stackctl.stackfile.schema import Places
from stackctl.stackfile.tree import as_dict


def check_cycles(services: dict[str, Json], places: Places, problems: Problems) -> None:
    """Report the first circle of ``depends_on``, with the line of each step; a service on its own is no circle."""
    circle = find_circle(
        {
            name: [other for other in sorted(as_dict(as_dict(entry).get("depends_on"))) if other in services]
            for name, entry in services.items()
        }
    )
    if not circle:
        return
    steps = zip(circle, [*circle[1:], circle[0]], strict=True)
    problems.error(
        "dependency-cycle",
        "Services depend on each other in a circle",
        *(places.of_key(("services", name, "depends_on", following)) for name, following in steps),
        detail=f"{' -> '.join([*circle, circle[0]])}: none of them could start first.",
        hint="remove one of these depends_on entries",
    )


def find_circle(edges: dict[str, list[str]]) -> list[str]:
    """Return the names of one circle of two or more, the first by name first; [] when there is none."""
    done: set[str] = set()
    for start in sorted(edges):
        trail: list[str] = []
        left = [iter((start,))]
        while left:
            name = next(left[-1], None)
            if name is None:
                left.pop()
                done.update(trail[-1:])
                trail = trail[:-1]
            elif name in trail[:-1]:
                circle = trail[trail.index(name) :]
                first = circle.index(min(circle))
                return [*circle[first:], *circle[:first]]
            elif name not in done and name not in trail:
                trail.append(name)
                left.append(iter(edges[name]))
    return []
