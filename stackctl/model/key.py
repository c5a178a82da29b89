"""ResourceKey: the address of one thing a stack is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ResourceKind = Literal["network", "volume", "container"]


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """Address of a network, a volume or one replica of a service, within one stack.

    ``name`` is the key used in the stack file. ``number`` counts a service's replicas from 1 and is
    0 for networks and volumes. The text form is ``container/web/2``, ``network/default``.
    """

    kind: ResourceKind
    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/{self.number}" if self.number else f"{self.kind}/{self.name}"
