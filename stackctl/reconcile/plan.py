"""Plan: the execution graph, with the reasons for each step. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.model.key import ResourceKey
from stackctl.reconcile.action import Action

ChangeKind = Literal["keep", "create", "start", "update", "restart", "replace", "remove", "stop", "kill"]
Disruption = Literal["none", "live", "restart", "replace", "destroys data"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something changes: a field with its values before and after, or just a text; and where it is written."""

    text: str
    before: str = ""
    after: str = ""
    source: SourceRange | None = None

    def __str__(self) -> str:
        values = f": {self.before or '(none)'} → {self.after or '(none)'}" if self.before or self.after else ""
        return f"{self.text}{values}" + (f"  ({self.source})" if self.source else "")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource. ``name`` is its real name."""

    key: ResourceKey
    kind: ChangeKind
    name: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One action. It waits until every step of ``after`` has succeeded and every one of ``soft_after`` has ended.

    ``source`` is what made the step necessary; ``origin`` maps the fields of the specification behind it to
    where they are written, for the failure to point at.
    """

    number: int
    action: Action
    after: tuple[int, ...] = ()
    soft_after: tuple[int, ...] = ()
    because: str = ""
    disruption: Disruption = "none"
    source: SourceRange | None = None
    origin: Mapping[str, SourceRange] = field(default_factory=lambda: MappingProxyType({}), compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order their edges allow, made from an observation with fingerprint ``base``."""

    stack: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    base: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps


class PlanBuilder:
    """Numbers steps in the order they are added; a step may only wait for earlier ones."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(
        self,
        action: Action,
        *,
        after: set[int] | None = None,
        soft_after: set[int] | None = None,
        because: str = "",
        disruption: Disruption = "none",
        source: SourceRange | None = None,
        origin: Mapping[str, SourceRange] | None = None,
    ) -> int:
        """Add a step and return its number."""
        number = len(self._steps) + 1
        hard, soft = after or set(), soft_after or set()
        edges = tuple(sorted(hard)), tuple(sorted(soft - hard))
        step = Step(number, action, *edges, because, disruption, source, origin or MappingProxyType({}))
        self._steps.append(step)
        return number

    def steps(self) -> tuple[Step, ...]:
        """Return all steps so far."""
        return tuple(self._steps)
