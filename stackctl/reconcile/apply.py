"""apply: performs a plan. The only code that changes the world, and it decides nothing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from stackctl.errors import EngineError, StackctlError, TransientError
from stackctl.reconcile.engine import CancelCheck, Engine
from stackctl.reconcile.plan import Plan, Step

State = Literal["done", "failed", "skipped", "cancelled", "unneeded"]
_ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step ended; ``error`` for a failed one, ``because_of`` the failed step a skipped one needed."""

    step: Step
    state: State
    detail: str = ""
    error: StackctlError | None = None
    because_of: int = 0
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """How every step ended, in the plan's order."""

    outcomes: tuple[Outcome, ...]

    @property
    def is_ok(self) -> bool:
        """Whether every step was done, or not needed because none had failed."""
        return all(outcome.state in ("done", "unneeded") for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The steps that failed themselves."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")


class Reporter(Protocol):
    """Told what happens while it happens; from one thread only."""

    def step_started(self, step: Step) -> None: ...
    def step_finished(self, outcome: Outcome) -> None: ...


def apply(plan: Plan, engine: Engine, reporter: Reporter, cancelled: CancelCheck) -> Report:
    """Perform every step once what it waits for has ended well; independent ones at the same time.

    A failed step makes those that need it be skipped, and nothing else. When ``cancelled`` turns true no
    further step starts.
    """
    return _Run(plan, engine, reporter, cancelled).run()


class _Run:
    """One performance. Only ``run``'s thread touches the state; workers get steps and give outcomes.

    There is a worker for each step under way: waits may be many, and must not keep what they wait for from starting.
    """

    def __init__(self, plan: Plan, engine: Engine, reporter: Reporter, cancelled: CancelCheck) -> None:
        self._plan = plan
        self._engine = engine
        self._reporter = reporter
        self._cancelled = cancelled
        self._outcomes: dict[int, Outcome] = {}
        self._missing: dict[int, int] = {}
        self._followers: dict[int, list[Step]] = {}
        for step in plan.steps:
            awaited = {*step.after, *step.soft_after, *step.while_well, *step.only_if_failed}
            self._missing[step.number] = len(awaited)
            for number in sorted(awaited):
                self._followers.setdefault(number, []).append(step)
        self._todo: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._active = 0

    def run(self) -> Report:
        try:
            for step in self._plan.steps:
                if not self._missing[step.number]:
                    self._consider(step)
            while self._active:
                outcome = self._ended.get()
                self._active -= 1
                self._settle(outcome)
        finally:
            for _ in self._workers:
                self._todo.put(None)
            for worker in self._workers:
                worker.join()
        return Report(tuple(self._outcomes[step.number] for step in self._plan.steps))

    def _consider(self, step: Step) -> None:
        """Everything the step waits for has ended: begin it, or say why not."""
        failed = next(iter(self._unsuccessful(step.after)), 0)
        bad = self._unsuccessful(step.while_well or step.only_if_failed)
        is_bad = len(bad) > step.tolerance
        if failed and self._outcomes[failed].state == "unneeded":
            self._settle(Outcome(step, "unneeded"))
        elif failed or (step.while_well and is_bad):
            failed = failed or bad[0]
            before = self._outcomes[failed]
            state: State = "cancelled" if before.state == "cancelled" else "skipped"
            self._settle(Outcome(step, state, because_of=before.because_of or failed))
        elif step.only_if_failed and not is_bad:
            self._settle(Outcome(step, "unneeded"))
        elif self._cancelled():
            self._settle(Outcome(step, "cancelled"))
        else:
            self._begin(step)

    def _unsuccessful(self, numbers: Iterable[int]) -> list[int]:
        return [number for number in numbers if self._outcomes[number].state != "done"]

    def _settle(self, outcome: Outcome) -> None:
        number = outcome.step.number
        self._outcomes[number] = outcome
        self._reporter.step_finished(outcome)
        for follower in self._followers.get(number, ()):
            self._missing[follower.number] -= 1
            if not self._missing[follower.number]:
                self._consider(follower)

    def _begin(self, step: Step) -> None:
        self._reporter.step_started(step)
        self._active += 1
        if len(self._workers) < self._active:
            worker = threading.Thread(target=self._work, name="apply", daemon=True)
            try:
                worker.start()
            except RuntimeError as error:
                problem = EngineError(f"no thread can be made for this step: {error}", code="system")
                self._ended.put(Outcome(step, "failed", error=problem))
                return
            self._workers.append(worker)
        self._todo.put(step)

    def _work(self) -> None:
        while (step := self._todo.get()) is not None:
            self._ended.put(self._perform(step))

    def _perform(self, step: Step) -> Outcome:
        started = time.monotonic()
        try:
            detail = with_retries(lambda: self._engine.perform(step.action, self._cancelled), self._cancelled)
        except StackctlError as error:
            state: State = "cancelled" if error.code == "cancelled" else "failed"
            return Outcome(step, state, error=error, ms=_ms_since(started))
        except OSError as error:
            refused = EngineError(
                f"{error.strerror}: {error.filename}" if error.filename else str(error), code="system"
            )
            return Outcome(step, "failed", error=refused, ms=_ms_since(started))
        except Exception as error:  # an edge: whatever a worker meets must reach the report
            problem = EngineError(f"internal error: {type(error).__name__}: {error}", code="internal")
            return Outcome(step, "failed", error=problem, ms=_ms_since(started))
        return Outcome(step, "done", detail=detail, ms=_ms_since(started))


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def with_retries(act: Callable[[], str], cancelled: CancelCheck, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Call ``act``, again after a pause while it raises TransientError, at most five times.

    The pauses are random, and get longer. Once ``cancelled`` it is not called again.
    """
    try:
        return act()
    except TransientError:
        import tenacity  # 15 ms: only once something went wrong

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_random_exponential(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
            stop=tenacity.stop_after_attempt(_ATTEMPTS - 1) | tenacity.stop_when_event_set(_EventLike(cancelled)),
            sleep=sleep,
            reraise=True,
        )
        return retrying(act)


class _EventLike(threading.Event):
    """Shows a cancel check as the event that tenacity asks."""

    def __init__(self, check: CancelCheck) -> None:
        super().__init__()
        self._check = check

    def is_set(self) -> bool:
        return self._check()
