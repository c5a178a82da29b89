"""Volumes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """One named volume, by its real name. An external one is never created or removed, only used.

    ``options`` are those of the ``local`` driver (``type``, ``o``, ``device``).
    """

    name: str
    is_external: bool = False
    driver: str = "local"
    options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
