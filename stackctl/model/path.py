"""Path: a place in a canonical tree. Alone here, so that reading stack files does not load the whole model (30 ms)."""

from __future__ import annotations

from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the canonical tree: ``("services", "web", "ports", 0)``."""
