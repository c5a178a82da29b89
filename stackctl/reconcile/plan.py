"""Plan: the execution graph, with the reasons for each step. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from stackctl.diagnostics import Diagnostic, SourceRange
from stackctl.model.key import ResourceKey
from stackctl.reconcile.action import Action, RemoveVolume

ChangeKind = Literal["keep", "create", "start", "update", "restart", "replace", "remove", "stop", "kill"]
Disruption = Literal["none", "live", "restart", "replace", "destroys data"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something changes: a field with its values before and after, or a text; and where it is written."""

    text: str
    before: str = ""
    after: str = ""
    source: SourceRange | None = None

    def __str__(self) -> str:
        has_values = self.before or self.after
        values = f": {self.before or '(none)'} -> {self.after or '(none)'}" if has_values else ""
        return f"{self.text}{values}" + (f"  ({self.source})" if self.source else "")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource. ``name`` is its real name; ``how`` says more of how it is done, often ""."""

    key: ResourceKey
    kind: ChangeKind
    name: str
    reasons: tuple[Reason, ...] = ()
    how: str = ""

    @property
    def because(self) -> str:
        """All reasons in one line."""
        return "; ".join(str(reason) for reason in self.reasons)

    @property
    def source(self) -> SourceRange | None:
        """The first place that a reason names."""
        return next((reason.source for reason in self.reasons if reason.source is not None), None)


@dataclass(frozen=True, slots=True)
class Step:
    """One action. It waits until every step of ``after`` has succeeded and every one of ``soft_after`` has ended.

    It waits as well until every step of ``while_well`` has ended, and is skipped when more of those than ``tolerance``
    did not succeed; with ``only_if_failed`` it is the other way round: it is needed only then.
    ``source`` is what made the step necessary; ``origin`` maps the fields of the specification behind it to
    where they are written, for a failure to point at. Of an optional step a failure is only worth a warning:
    all that waits for it can do without.
    """

    number: int
    action: Action
    after: tuple[int, ...] = ()
    soft_after: tuple[int, ...] = ()
    because: str = ""
    disruption: Disruption = "none"
    source: SourceRange | None = None
    origin: Mapping[str, SourceRange] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    is_optional: bool = False
    while_well: tuple[int, ...] = ()
    only_if_failed: tuple[int, ...] = ()
    tolerance: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A step that somebody should have agreed to: it cannot be undone."""

    step: int
    text: str


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

    @property
    def confirmations(self) -> tuple[Confirmation, ...]:
        """What in it destroys data."""
        return tuple(
            Confirmation(step.number, f"volume {step.action.name} is deleted with everything in it")
            for step in self.steps
            if isinstance(step.action, RemoveVolume)
        )


class PlanBuilder:
    """Numbers steps in the order they are added; a step may only wait for earlier ones."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(
        self,
        action: Action,
        *,
        after: Iterable[int] = (),
        soft_after: Iterable[int] = (),
        because: str = "",
        disruption: Disruption = "none",
        source: SourceRange | None = None,
        origin: Mapping[str, SourceRange] | None = None,
        is_optional: bool = False,
        while_well: Iterable[int] = (),
        only_if_failed: Iterable[int] = (),
        tolerance: int = 0,
    ) -> int:
        """Add a step and return its number."""
        number = len(self._steps) + 1
        hard = set(after)
        self._steps.append(
            Step(
                number,
                action,
                tuple(sorted(hard)),
                tuple(sorted(set(soft_after) - hard)),
                because,
                disruption,
                source,
                origin or MappingProxyType({}),
                is_optional,
                tuple(sorted(set(while_well))),
                tuple(sorted(set(only_if_failed))),
                tolerance,
            )
        )
        return number

    def require(self, number: int) -> None:
        """Make an optional step one that must succeed: somebody cannot do without."""
        step = self._steps[number - 1]
        if step.is_optional:
            self._steps[number - 1] = replace(step, is_optional=False)

    def steps(self) -> tuple[Step, ...]:
        """Return all steps so far."""
        return tuple(self._steps)
