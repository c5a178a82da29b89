"""The Engine protocol: what the reconciler asks of whatever runs containers.

Vocabulary: an engine holds containers, networks and volumes, each under a unique *name*; *resolving* an
image reference finds the configuration digest it stands for here and now; a *snapshot* is what the
engine sees of one stack; *performing* an action makes the world as the action says.

Every implementation passes ``tests/engines``; ``engines/memory.py`` is the one to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from stackctl.model.image import ResolvedImage
from stackctl.model.observed import Observed
from stackctl.reconcile.action import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What an engine can do; all that the planner knows about it.

    ``live_fields`` are the ContainerSpec fields that UpdateContainer changes without a restart (see ``live``);
    ``ignored_fields`` those whose change needs nothing done at all. Without ``can_lift_limits`` a limit changes live to
    another one only, not to none; ``fixed_limits`` are the fields of Limits that never do. Without ``can_share_ports``
    each host port is one container's. With ``can_switch_traffic`` a container can be started without traffic, and get
    that of another. With the grain ``service`` it is told of whole services, and runs their containers by itself: see
    ``reconcile.services``. ``network_driver`` is the kind of network that a stack gets which asks for none.
    """

    live_fields: frozenset[str] = frozenset({"limits", "restart"})
    ignored_fields: frozenset[str] = frozenset()
    can_rename: bool = True
    can_lift_limits: bool = True
    fixed_limits: frozenset[str] = frozenset()
    can_share_ports: bool = True
    can_switch_traffic: bool = False
    grain: Literal["container", "service"] = "container"
    network_driver: str = "bridge"


PullPolicy = Literal["always", "missing", "never"]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """An image reference as written, and the platform wanted (``linux/arm64``; "" for this machine's).

    ``policy`` says when its registry is asked: ``always``, ``missing`` (when the engine has no such image), ``never``.
    With ``missing`` and a ``max_age_s`` (0 is none) it also is when the engine has had the image for longer.
    """

    reference: str
    platform: str = ""
    policy: PullPolicy = "missing"
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The real names a stack wants to use, whether or not the things carry its label."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()


CancelCheck = Callable[[], bool]


class Engine(Protocol):
    """An engine. Any thread may call any method; several calls may be in flight."""

    def traits(self) -> Traits:
        """Return what this engine can do; constant for the engine's life."""
        ...

    def resolve(self, requests: Sequence[ImageRequest]) -> Mapping[ImageRequest, ResolvedImage]:
        """Find every image, here or in its registry; fetch nothing but what describes it.

        One that only a registry has comes with its ``remote_digest``. A request that is missing from the answer was
        not found. Raises ImageError or NotFound, saying why, where a registry was asked.
        """
        ...

    def snapshot(self, stack: str, names: ResourceNames) -> Observed:
        """Return all that carries the stack's label and all that has one of ``names``, sorted by name."""
        ...

    def perform(self, action: Action, cancelled: CancelCheck) -> str:
        """Make the world as ``action`` says; return a short human note, often "".

        Success means the world *is* so, not that this call changed it: repeating is safe. A wait inside ends
        soon after ``cancelled()`` turns true, with EngineError code ``cancelled``. Raises EngineError;
        TransientError where trying again may help.
        """
        ...
