"""What each kind of engine honours of the stack file: a table each, told by what differs from the built-in engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from stackctl.stackfile.support_swarm import SWARM
from stackctl.stackfile.support_table import TOP, YES, Table, Verdict, minor, no

EngineKind = Literal["built-in", "docker", "swarm"]
KeyPath: TypeAlias = tuple[str, ...]
"""A key, ``*`` standing for any name and for each item of a list."""


def overlaid(table: Table, changes: Mapping[KeyPath, Verdict]) -> Table:
    """Return the table with other verdicts on some keys, each of which it has."""
    found = dict(table)
    below: dict[str, dict[KeyPath, Verdict]] = {}
    for path, verdict in changes.items():
        if path[0] not in table:
            raise KeyError(path)
        if len(path) == 1:
            found[path[0]] = verdict
        else:
            below.setdefault(path[0], {})[path[1:]] = verdict
    for key, inner in below.items():
        entry = table[key]
        if isinstance(entry, Verdict):
            raise KeyError((key, *next(iter(inner))))
        found[key] = overlaid(entry, inner)
    return found


_SERVICE: Final = ("services", "*")
_NETWORK: Final = ("networks", "*")
_DOCKER: Final[dict[KeyPath, Verdict]] = {
    (*_SERVICE, "build", "secrets"): no(
        "secrets get into a build of Docker's through a session, which is not spoken yet",
        "build the image with `docker build`, and leave `build` out",
    ),
    (*_SERVICE, "networks", "*", "ipv6_address"): YES,
    (*_NETWORK, "driver_opts"): YES,
    (*_NETWORK, "attachable"): YES,
    (*_SERVICE, "deploy", "restart_policy", "delay"): minor("a Docker Engine chooses the time between restarts itself"),
    (*_SERVICE, "deploy", "restart_policy", "window"): minor("to a Docker Engine a container is started at once"),
    (*_SERVICE, "networks", "*", "interface_name"): minor("interfaces are named by the engine"),
    (*_SERVICE, "volumes", "*", "bind", "recursive"): minor("mounts below a bind mount always come along"),
}
# There the value counts as written: what the built-in engine cannot do with it is no matter.
_DOCKER_VALUES: Final = frozenset(
    {("networks", "driver"), ("networks", "driver_opts"), ("networks", "enable_ipv6"), ("volumes", "driver")}
)

TABLES: Final[dict[EngineKind, Table]] = {
    "built-in": TOP,
    "docker": overlaid(TOP, _DOCKER),
    "swarm": overlaid(TOP, SWARM),
}
"""The table of each kind of engine."""

FREE_VALUES: Final[dict[EngineKind, frozenset[KeyPath]]] = {"docker": _DOCKER_VALUES}
"""Keys, as section and name, whose values a kind of engine takes as they are; nothing for one that is not there."""

TITLES: Final[dict[EngineKind, str]] = {"built-in": "built-in engine", "docker": "Docker", "swarm": "Swarm"}
"""What each kind is called, in the order of the columns."""
