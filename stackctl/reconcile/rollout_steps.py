"""Steps by which the containers of one service make way for others, so many at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.model.key import ResourceKey
from stackctl.model.observed import ObservedContainer
from stackctl.reconcile.action import (
    AwaitCondition,
    CreateContainer,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwitchTraffic,
)
from stackctl.reconcile.desired import Desired
from stackctl.reconcile.engine import Traits
from stackctl.reconcile.gates import Edges
from stackctl.reconcile.match import RUNNING, temporary_name
from stackctl.reconcile.plan import Change, PlanBuilder
from stackctl.reconcile.policy import Policy
from stackctl.reconcile.resource_steps import ResourceSteps, grace_of
from stackctl.reconcile.rollout import HOLD_S, Rollout, hold_s


@dataclass(frozen=True, slots=True)
class Ground:
    """What the steps of any service stand on. ``edges`` is what a start of a replica waits for."""

    steps: PlanBuilder
    under: ResourceSteps
    wanted: Desired
    policy: Policy
    traits: Traits
    edges: Callable[[ResourceKey], Edges]


@dataclass(slots=True)
class _Replaced:
    """One container that makes way, and the name under which its successor is made."""

    key: ResourceKey
    existing: ObservedContainer
    temporary: str
    created: int
    was_running: bool = True


@dataclass(slots=True)
class ServiceRollout:
    """Replaces and restarts the containers of one service. ``keys`` are all that will be, in order.

    A container counts as ``settled`` with the step after which the next ones may go.
    """

    ground: Ground
    rollout: Rollout
    keys: Sequence[ResourceKey]
    _batches: list[Sequence[ResourceKey]] = field(default_factory=list)
    _settled: dict[ResourceKey, int] = field(default_factory=dict)
    _gate: dict[str, Any] = field(default_factory=dict)
    _kept: list[_Replaced] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._batches = self.rollout.batches(self.keys)

    def enter(self, key: ResourceKey) -> None:
        """The steps of this container come next: with the first of a batch the gate is set before it."""
        at = next((at for at, batch in enumerate(self._batches) if batch[0] == key), 0)
        if at:
            self._gate = self._gate_after(self._batches[:at])

    def start(self, key: ResourceKey, expect_id: str, after: set[int], because: str) -> set[int]:
        """Add the start of a container, after what it waits for."""
        if self.ground.policy.no_start:
            return set()
        return {self._start(key, self._spec(key).name, expect_id, after, because)}

    def restart(self, key: ResourceKey, existing: ObservedContainer, change: Change, after: set[int]) -> set[int]:
        """Stop and start a container."""
        # Order: not before what it depends on is back, so that the gap is short, and there is none if it fails.
        edges = self.ground.edges(key)
        action = self._stop_action(existing, self._hold_s(key, existing))
        stopped = self._gated(
            action,
            after=after | edges.hard,
            soft_after=edges.soft,
            because=change.because,
            disruption="restart",
            source=change.source,
        )
        return self._settle_started(key, self.start(key, existing.id, {stopped}, change.because))

    def replace(self, key: ResourceKey, existing: ObservedContainer, change: Change) -> set[int]:
        """Make the successor of a container, and have it take over; return the steps after which it runs."""
        spec, under = self._spec(key), self.ground.under
        temporary = temporary_name(existing.id, spec.name)
        created = self.ground.steps.add(
            CreateContainer(replace(spec, name=temporary)),
            after=under.under(key) | under.freed(temporary),
            because=change.because,
            source=change.source,
        )
        part = _Replaced(key, existing, temporary, created)
        if self.ground.policy.no_start or existing.state not in RUNNING:
            part.was_running = False
            return self._settle_started(key, self._after_the_old(part))
        if self.rollout.order == "start-first":
            return self._beside_the_old(part)
        if self.rollout.failure_action == "rollback":
            return self._in_place_of_the_old(part)
        return self._settle_started(key, self._after_the_old(part))

    def finish(self) -> set[int]:
        """Add what comes once all are replaced, or have failed; return the steps after which all have their names."""
        if not self._kept:
            return set()
        settled = tuple(self._settled.values())
        named = set()
        for part in self._kept:
            gate = {"while_well": settled, "tolerance": self.rollout.tolerance}
            named.add(self._retire(part, {self._settled[part.key]}, gate))
        for part in self._kept:
            self._undo(part, settled)
        return named

    # -- one container --------------------------------------------------------------------------------

    def _after_the_old(self, part: _Replaced) -> set[int]:
        """Stop, remove, rename, start: one name, and one container under it."""
        key, existing = part.key, part.existing
        because = f"replaced by {part.created}"
        after = {part.created}
        if existing.state in RUNNING:
            after = {self._stop_first(part)}
        removed = self.ground.steps.add(
            RemoveContainer(existing.name, existing.id), after=after, because=because, disruption="replace"
        )
        renamed = self._rename(part, removed)
        return self.start(key, "", {renamed}, "replacement")

    def _in_place_of_the_old(self, part: _Replaced) -> set[int]:
        """As before, but the old one is kept until all are replaced: it may have to come back."""
        stopped = self._stop_first(part)
        started = self._start(part.key, part.temporary, "", {stopped}, "replacement")
        self._settled[part.key] = self._monitor(part.key, part.temporary, {started}, self.rollout.monitor_s or 0.0)
        self._delay(part.key, part.temporary)
        self._kept.append(part)
        return {started}

    def _beside_the_old(self, part: _Replaced) -> set[int]:
        """The new one first: it gets the traffic once it is ready, and only then the old one goes."""
        existing, edges = part.existing, self.ground.edges(part.key)
        spec = self._spec(part.key)
        started = self._gated(
            StartContainer(part.temporary, "", existing.name),
            after={part.created} | edges.hard | self.ground.under.vacated(part.key),
            soft_after=edges.soft,
            because=f"beside {existing.name}, which serves until then",
            source=spec.origin.get(""),
            origin=spec.origin,
        )
        ready = self._monitor(part.key, part.temporary, {started}, self.rollout.monitor_s or 0.0)
        switched = self.ground.steps.add(
            SwitchTraffic(part.temporary, existing.name, existing.id),
            after={ready},
            because=f"replaced by {part.created}",
            disruption="live",
        )
        self._settled[part.key] = switched
        if self.rollout.failure_action == "rollback":
            self._delay(part.key, part.temporary)
            self._kept.append(part)
            return {started}
        named = self._retire(part, {switched}, {})
        if self.rollout.delay_s and part.key not in self._batches[-1]:
            self._settled[part.key] = named
            self._delay(part.key, spec.name)
        return {named}

    def _retire(self, part: _Replaced, after: set[int], gate: dict[str, Any]) -> int:
        """Stop the old one if it still runs, remove it, and let its successor have its name."""
        existing, because = part.existing, f"replaced by {part.created}"
        if self.rollout.order == "start-first":
            action = self._stop_action(existing, 0.0)
            after = {self.ground.steps.add(action, after=after, because=because, disruption="live", **gate)}
            gate = {}
        remove = RemoveContainer(existing.name, existing.id)
        removed = self.ground.steps.add(remove, after=after, because=because, disruption="live", **gate)
        return self._rename(part, removed)

    def _undo(self, part: _Replaced, settled: tuple[int, ...]) -> None:
        """Give the old one its place back, and remove the new one."""
        existing, steps = part.existing, self.ground.steps
        gate: dict[str, Any] = {"only_if_failed": settled, "tolerance": self.rollout.tolerance}
        because = "rollback: the update failed"
        after: set[int] = set()
        if self.rollout.order == "start-first":
            back = SwitchTraffic(existing.name, part.temporary, "", existing.id)
            after = {steps.add(back, because=because, disruption="live", **gate)}
        stop = StopContainer(part.temporary, "", grace_of(existing, self.ground.policy))
        stopped = steps.add(stop, after=after, because=because, disruption="replace", **gate)
        if self.rollout.order == "stop-first":
            start = StartContainer(existing.name, existing.id)
            stopped = steps.add(start, soft_after={stopped}, because=because, disruption="replace", **gate)
        remove = RemoveContainer(part.temporary, "")
        steps.add(remove, after={stopped}, because=because, disruption="replace", **gate)

    # -- single steps ---------------------------------------------------------------------------------

    def _spec(self, key: ResourceKey) -> Any:
        return self.ground.wanted.containers[key].spec

    def _rename(self, part: _Replaced, removed: int) -> int:
        action = RenameContainer(part.temporary, self._spec(part.key).name)
        return self.ground.steps.add(action, after={removed}, because="replacement")

    def _stop_action(self, existing: ObservedContainer, held_s: float) -> StopContainer:
        return StopContainer(existing.name, existing.id, grace_of(existing, self.ground.policy), held_s)

    def _hold_s(self, key: ResourceKey, existing: ObservedContainer) -> float:
        return hold_s(existing, self._spec(key)) if self.ground.traits.can_switch_traffic else 0.0

    def _stop_first(self, part: _Replaced) -> int:
        # Order: not before what the replacement waits for is there, so that the gap is short.
        edges = Edges() if self.ground.policy.no_start else self.ground.edges(part.key)
        held_s = 0.0 if self.ground.policy.no_start else self._hold_s(part.key, part.existing)
        waiting = f"; clients wait up to {HOLD_S:g} s" if held_s else ""
        return self._gated(
            self._stop_action(part.existing, held_s),
            after={part.created} | edges.hard,
            soft_after=edges.soft,
            because=f"replaced by {part.created}{waiting}",
            disruption="replace",
        )

    def _start(self, key: ResourceKey, name: str, expect_id: str, after: set[int], because: str) -> int:
        edges, spec = self.ground.edges(key), self._spec(key)
        return self.ground.steps.add(
            StartContainer(name, expect_id),
            after=after | edges.hard | self.ground.under.vacated(key),
            soft_after=edges.soft,
            because=because,
            source=spec.origin.get(""),
            origin=spec.origin,
        )

    def _settle_started(self, key: ResourceKey, started: set[int]) -> set[int]:
        """Where updates are written about, a replica counts once it was seen to be well for a while."""
        if started and self.rollout.is_written:
            name = self._spec(key).name
            self._settled[key] = self._monitor(key, name, started, self.rollout.monitor_s or 0.0)
            self._delay(key, name)
        elif started:
            (self._settled[key],) = started
        return started

    def _monitor(self, key: ResourceKey, name: str, after: Iterable[int], monitor_s: float, because: str = "") -> int:
        spec = self._spec(key)
        return self.ground.steps.add(
            AwaitCondition((name,), "service_healthy", 0.0, monitor_s),
            after=after,
            because=because or ("before it gets traffic" if self.rollout.order == "start-first" else "before the next"),
            source=spec.origin.get("health") or spec.origin.get(""),
            origin=spec.origin,
        )

    def _delay(self, key: ResourceKey, name: str) -> None:
        if self.rollout.delay_s and key not in self._batches[-1]:
            because = f"delay of {self.rollout.delay_s:g} s before the next"
            self._settled[key] = self._monitor(key, name, {self._settled[key]}, self.rollout.delay_s, because)

    # -- batches --------------------------------------------------------------------------------------

    def _gated(self, action: Any, *, after: set[int], soft_after: Iterable[int], **fields: Any) -> int:
        gate = dict(self._gate)
        after = after | set(gate.pop("after", ()))
        soft_after = set(soft_after) | set(gate.pop("soft_after", ()))
        return self.ground.steps.add(action, after=after, soft_after=soft_after, **gate, **fields)

    def _gate_after(self, batches: Sequence[Sequence[ResourceKey]]) -> dict[str, Any]:
        """Return what the first step of the next batch that interrupts anything waits for."""
        before = [key for batch in batches for key in batch if key in self._settled]
        settled = [self._settled[key] for key in before]
        if not settled:
            return {}
        if not self.rollout.is_written:
            return {"after": self._all_well(before, settled)}
        if self.rollout.failure_action == "continue":
            return {"soft_after": settled}
        return {"while_well": settled, "tolerance": self.rollout.tolerance}

    def _all_well(self, keys: Sequence[ResourceKey], settled: Sequence[int]) -> set[int]:
        specs = [self._spec(key) for key in keys]
        if self.rollout.order == "start-first" or specs[0].health is None:
            return set(settled)
        action = AwaitCondition(tuple(spec.name for spec in specs), "service_healthy", 0.0)
        return {self.ground.steps.add(action, after=settled, because="half of the replicas at a time")}
