"""Events: something happened to a container, a network, a volume or an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["container", "network", "volume", "image", "builder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``action`` and ``attributes`` in Docker's words; a container's labels are among its attributes."""

    kind: EventKind
    action: str
    id: str
    attributes: tuple[tuple[str, str], ...] = ()
    time_ns: int = 0
