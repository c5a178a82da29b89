"""ResourceKey: the address of one thing a stack is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ResourceKind = Literal["network", "volume", "container", "service", "config", "secret"]


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """Address of one thing within one stack: a network, a volume, a config, one replica of a service or a whole one.

    ``name`` is the key used in the stack file. ``number`` counts a service's replicas from 1 and is
    0 for all else. The text form is ``container/web/2``, ``network/default``, ``service/web``.
    """

    kind: ResourceKind
    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/{self.number}" if self.number else f"{self.kind}/{self.name}"
