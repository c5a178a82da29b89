"""Base images: what a stage begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stackctl.images.index import LayerRow
from stackctl.model.root import HostRoot


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image in the store: the ``config`` object as it was written, its history, its layers, the lowest first.

    ``host`` is what lies under the layers of an image that was built upon the machine's own; ``identity`` stands for
    all that lies there in the keys of the cache.
    """

    id: str
    config: Mapping[str, object]
    history: tuple[Mapping[str, object], ...] = ()
    layers: tuple[LayerRow, ...] = ()
    created: str = ""
    host: HostRoot | None = None
    identity: str = ""


SCRATCH = BaseImage(id="", config={})


class Bases(Protocol):
    """Finds base images."""

    def find(self, reference: str) -> BaseImage:
        """Return an image by its name, brought in from its registry if it has to be. Raises ImageError, NotFound."""
        ...
