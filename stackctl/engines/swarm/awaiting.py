"""Waiting until a service is as wanted; a manager tells nothing of tasks by itself, so it is asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stackctl.engines.swarm.api import Shape, SwarmApi
from stackctl.engines.swarm.placement import wanted_tasks
from stackctl.engines.swarm.read import service_spec, task_template, template_of_task
from stackctl.errors import ContainerError, EngineError, NotFound
from stackctl.model.service import ServiceSpec
from stackctl.reconcile.engine import CancelCheck
from stackctl.reconcile.service_action import AwaitService

_PAUSE_S: Final = 0.5
_SETTLED_LOOKS: Final = 2
_FAILURES: Final = 3
_BROKEN: Final = {
    "paused": "its update stopped",
    "rollback_paused": "going back to what it was stopped",
    "rollback_completed": "the engine went back to what it was before",
}
_ENDED: Final = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))
_SHOWN: Final = 3


class Rollout:
    """One wait. Only ``wait`` is called, once."""

    def __init__(self, api: SwarmApi, action: AwaitService, cancelled: CancelCheck) -> None:
        self._api = api
        self._action = action
        self._cancelled = cancelled
        self._best = -1
        self._moved = time.monotonic()

    def wait(self, send_back: Callable[[ServiceSpec], None]) -> None:
        """Return when the condition holds; ``send_back`` gives the service another specification if it never will."""
        settled = 0
        while True:
            shape = self._api.service(self._action.name)
            if shape is None:
                raise NotFound(f"no such service: {self._action.name}", code="no-such-service")
            tasks = self._tasks(shape)
            count = self._count(shape, tasks)
            settled = settled + 1 if count >= self._wanted(shape) and not _is_moving(shape) else 0
            if why := _broken(shape):
                self._give_up(why, tasks, send_back)
            if settled >= (1 if self._is_end_awaited else _SETTLED_LOOKS):
                return
            if not settled and (why := self._hopeless(shape, tasks, count)):
                self._give_up(why, tasks, send_back)
            if self._cancelled():
                raise EngineError("cancelled", code="cancelled")
            time.sleep(_PAUSE_S)

    @property
    def _is_end_awaited(self) -> bool:
        return self._action.condition == "service_completed_successfully"

    def _tasks(self, shape: Shape) -> list[Shape]:
        """Return the tasks made from what the service is now.

        The engine's own filter for that would leave out those that a change did not concern.
        """
        networks = {network["Id"]: network["Name"] for network in self._api.networks()}
        wanted = task_template(service_spec(shape["Spec"], networks))
        return [task for task in self._api.tasks(service=shape["ID"]) if template_of_task(task, networks) == wanted]

    def _wanted(self, shape: Shape) -> int:
        return wanted_tasks(service_spec(shape["Spec"], {}), self._api.nodes())

    def _count(self, shape: Shape, tasks: list[Shape]) -> int:
        if self._is_end_awaited:
            done = sum(1 for task in tasks if _state(task) == "complete")
            return max(done, int((shape.get("ServiceStatus") or {}).get("CompletedTasks") or 0))
        return sum(1 for task in tasks if _state(task) == "running" and task.get("DesiredState") == "running")

    def _hopeless(self, shape: Shape, tasks: list[Shape], count: int) -> str:
        """Say why the condition can no longer come true, or takes too long; "" when there is hope."""
        if count > self._best:
            self._best, self._moved = count, time.monotonic()
        failed = [task for task in tasks if _state(task) in ("failed", "rejected")]
        alive = [task for task in tasks if _state(task) not in _ENDED]
        if not _is_moving(shape):
            if failed and not alive:
                return "no task is left to try again"
            if len(failed) >= _FAILURES and not any(_state(task) == "running" for task in tasks):
                return "its tasks fail again and again"
        waited_s = time.monotonic() - self._moved
        if self._action.timeout_s and waited_s > self._action.timeout_s:
            return f"no further task in {self._action.timeout_s:g} s"
        return ""

    def _give_up(self, why: str, tasks: list[Shape], send_back: Callable[[ServiceSpec], None]) -> None:
        told = _errors(tasks) or _errors(self._api.tasks(service=self._action.name))
        text = f"service {self._action.name} is not as wanted: {'; '.join([why, *told])}"
        if self._action.rollback is not None:
            send_back(self._action.rollback)
            text += "; it is sent back to what it was before"
        hint = f"look at its tasks: stackctl --engine swarm ps, or docker service ps {self._action.name}"
        raise ContainerError(text, code="service-not-converged", hint=hint)


def _is_moving(shape: Shape) -> bool:
    return (shape.get("UpdateStatus") or {}).get("State") in ("updating", "rollback_started")


def _broken(shape: Shape) -> str:
    update = shape.get("UpdateStatus") or {}
    why = _BROKEN.get(update.get("State") or "", "")
    return f"{why} ({update['Message']})" if why and update.get("Message") else why


def _state(task: Shape) -> str:
    return str((task.get("Status") or {}).get("State") or "")


def _errors(tasks: list[Shape]) -> list[str]:
    """Return what the tasks reported, the latest first, each thing once."""
    latest = sorted(tasks, key=lambda task: (task.get("Status") or {}).get("Timestamp") or "", reverse=True)
    said = (str((task.get("Status") or {}).get("Err") or "") for task in latest)
    return list(dict.fromkeys(text for text in said if text))[:_SHOWN]
