"""What a start waits for: one await for each service and condition, however many wait for it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stackctl.diagnostics import SourceRange
from stackctl.model.stack import Condition
from stackctl.reconcile.action import AwaitCondition
from stackctl.reconcile.plan import PlanBuilder


@dataclass(frozen=True, slots=True)
class Edges:
    """Steps that must have succeeded (``hard``), and steps that must only have ended (``soft``)."""

    hard: frozenset[int] = frozenset()
    soft: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Need:
    """A service waits for another; ``source`` is where that is written."""

    service: str
    condition: Condition
    is_required: bool = True
    source: SourceRange | None = None
    origin: Mapping[str, SourceRange] = field(default_factory=lambda: MappingProxyType({}), compare=False)


class Gates:
    """Knows which steps start a service, and adds the awaits for its conditions.

    ``names`` has the containers of each service; ``holds`` says whether a condition is fulfilled already
    by containers that the plan leaves alone. ``timeout_s`` 0 waits without bound.
    """

    def __init__(
        self,
        steps: PlanBuilder,
        names: Mapping[str, tuple[str, ...]],
        holds: Callable[[str, Condition], bool],
        *,
        timeout_s: float = 0.0,
    ) -> None:
        self._steps = steps
        self._names = names
        self._holds = holds
        self._timeout_s = timeout_s
        self._started: dict[str, frozenset[int]] = {}
        self._awaits: dict[tuple[str, Condition], int] = {}

    def note_started(self, service: str, steps: set[int]) -> None:
        """These steps start the service's containers; none when they run already."""
        self._started[service] = frozenset(steps)

    def started(self, service: str) -> frozenset[int]:
        """Return the steps that start the service."""
        return self._started.get(service, frozenset())

    def edges(self, needs: tuple[Need, ...]) -> Edges:
        """Return what someone with these needs has to wait for; adds awaits."""
        hard: set[int] = set()
        soft: set[int] = set()
        for need in needs:
            (hard if need.is_required else soft).update(self._gate(need))
        return Edges(frozenset(hard), frozenset(soft - hard))

    def final(self, need: Need) -> None:
        """Have the plan end only when the condition holds."""
        if self._names.get(need.service):
            self._await(need, "asked for by --wait")

    def _gate(self, need: Need) -> frozenset[int]:
        if not self._names.get(need.service):
            return frozenset()
        if need.condition == "service_started":
            return self.started(need.service)
        return self._await(need, f"others wait for {need.service}")

    def _await(self, need: Need, because: str) -> frozenset[int]:
        known = self._awaits.get((need.service, need.condition))
        if known is not None:
            if need.is_required:
                self._steps.require(known)
            return frozenset({known})
        started = self.started(need.service)
        if not started and self._holds(need.service, need.condition):
            return frozenset()
        step = self._steps.add(
            AwaitCondition(self._names[need.service], need.condition, self._timeout_s),
            after=started,
            because=because,
            source=need.source,
            origin=need.origin,
            is_optional=not need.is_required,
        )
        self._awaits[need.service, need.condition] = step
        return frozenset({step})
