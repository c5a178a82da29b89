"""Roots: what a container's file system starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class OverlayRoot:
    """Extracted layers under an overlay: absolute folders, the lowest first."""

    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostBind:
    """A host folder or file seen read-only at ``target``."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class HostRoot:
    """A generated skeleton under an overlay, with parts of the host bound read-only over it.

    ``layers`` lie between the two, the lowest first: those of an image that was built upon the host's.
    """

    skeleton: str
    binds: tuple[HostBind, ...]
    layers: tuple[str, ...] = ()


Root: TypeAlias = OverlayRoot | HostRoot
