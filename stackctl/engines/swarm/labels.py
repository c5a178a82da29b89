"""Labels by which `docker stack` knows what is whose. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stackctl import labels

NAMESPACE: Final = "com.docker.stack.namespace"
IMAGE: Final = "com.docker.stack.image"
FINGERPRINT: Final = "stackctl.fingerprint"
_OWN: Final = (NAMESPACE, IMAGE, FINGERPRINT)

Pairs = tuple[tuple[str, str], ...]


def written(marks: Pairs, **more: str) -> dict[str, str]:
    """Return labels as a Swarm is given them: with the namespace, by which `docker stack` goes."""
    found = dict(marks)
    stack = found.get(labels.PROJECT, "")
    return {**found, **({NAMESPACE: stack} if stack else {}), **more}


def read(marks: Mapping[str, str] | None, **more: str) -> Pairs:
    """Return labels as the planner knows them. What `docker stack deploy` made counts as the stack's own.

    ``more`` are labels that are added then.
    """
    found = dict(marks or {})
    stack = found.get(NAMESPACE, "")
    if stack and labels.PROJECT not in found:
        found = {**found, labels.PROJECT: stack, **more}
    return tuple(sorted((key, value) for key, value in found.items() if key not in _OWN))


def short_name(name: str, marks: Mapping[str, str] | None) -> str:
    """Return a name without the stack that `docker stack deploy` puts before it."""
    return name.removeprefix(f"{(marks or {}).get(NAMESPACE, '')}_")
