"""Stacks on a Swarm: from a request to a plan, and from a plan to what it did; all of it in the caller's process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from stackctl import __version__
from stackctl.diagnostics import Diagnostic
from stackctl.engines.docker.api import Api
from stackctl.engines.docker.contents import SentContents
from stackctl.engines.docker.hosting import lock_folder
from stackctl.engines.hosting import Emit, StackLocks
from stackctl.engines.resolving import needed_services
from stackctl.engines.stack_locks import FileLocks
from stackctl.engines.stacks import Teller, failure_json, policy_of, raise_failures, scaled, stack_of, tell_plan
from stackctl.engines.swarm.api import SwarmApi
from stackctl.engines.swarm.engine import SwarmEngine
from stackctl.engines.swarm.placement import check_placement
from stackctl.errors import ImageError, NotFound, PlanError, StackctlError, UsageError
from stackctl.images.chunks import Readable
from stackctl.model.observed import Observed
from stackctl.model.stack import Stack
from stackctl.reconcile.apply import apply
from stackctl.reconcile.engine import ResourceNames
from stackctl.reconcile.plan import Plan
from stackctl.reconcile.services.desired import DesiredServices, desired_services, service_name, service_names
from stackctl.reconcile.services.down import plan_services_down
from stackctl.reconcile.services.up import plan_services_up
from stackctl.wire.stack_request import RunRequest, StackRequest

_HINTS: Final = {
    "stop": "a Swarm keeps services running: stackctl scale SERVICE=0",
    "start": "a Swarm keeps services running: stackctl up",
    "restart": "replace the tasks: stackctl up --force-recreate",
    "kill": "a Swarm keeps services running: stackctl scale SERVICE=0",
    "build": "build where there is one machine: stackctl build, then stackctl push",
}


def swarm_stacks(api: Api, environment: Mapping[str, str]) -> SwarmStacks:
    """Return the stacks of the Swarm whose manager is behind ``api``. Raises EngineError where there is none."""
    swarm = SwarmApi(api)
    cluster = str((swarm.check_manager()["Swarm"].get("Cluster") or {}).get("ID") or "")
    contents = SentContents(cluster)
    return SwarmStacks(swarm, contents, FileLocks(lock_folder(environment), cluster))


class SwarmStacks:
    """Plans and applies stacks; one change of a stack at a time."""

    def __init__(self, api: SwarmApi, contents: SentContents, locks: StackLocks) -> None:
        self._api = api
        self._contents = contents
        self._locks = locks
        self._cancelled: dict[str, threading.Event] = {}

    def plan(self, project: str, request: StackRequest) -> tuple[Plan, tuple[Diagnostic, ...]]:
        """Return the plan for what is asked, and warnings about the stack file. Raises StackFileError, PlanError."""
        engine = SwarmEngine(self._api, self._contents, request.credentials)
        if request.verb == "down":
            return plan_services_down(engine.snapshot(project, ResourceNames()), policy_of(request)), ()
        if request.verb != "up" or request.no_start:
            verb = "create" if request.verb == "up" else request.verb
            hint = _HINTS.get(verb, "")
            raise UsageError(f"a Swarm has no containers of its own to {verb}", code="not-supported", hint=hint)
        stack, warnings = stack_of(request, "swarm")
        stack = scaled(stack, request.scale)
        observed = engine.snapshot(stack.name, service_names(stack))
        wanted, more = self._desired(engine, stack, request, observed)
        check_placement(wanted, self._api.nodes(), needed_services(stack, request))
        return plan_services_up(wanted, observed, policy_of(request)), (*warnings, *more)

    def apply(self, project: str, request: StackRequest, emit: Emit) -> None:
        """Plan and perform, telling ``emit`` all that happens; the last event says how it ended. Never raises."""
        engine = SwarmEngine(self._api, self._contents, request.credentials)
        with self._running(emit) as cancelled:
            with self._locks.locked(project, emit):
                plan, warnings = self.plan(project, request)
                self._contents.store(request.contents)
                tell_plan(emit, plan, warnings)
                teller = Teller(emit, _no_words)
                report = apply(plan, engine, teller, cancelled.is_set)
            raise_failures(report, cancelled.is_set(), teller)
            emit({"event": "end", "ok": True, "error": None})

    def cancel(self, apply_id: str) -> None:
        """Start no further step of an apply under way. Raises NotFound."""
        event = self._cancelled.get(apply_id)
        if event is None:
            raise NotFound(f"no such apply: {apply_id}")
        event.set()

    def run(self, project: str, wanted_run: RunRequest, emit: Emit) -> None:
        """Refuse: the last event says so."""
        del project, wanted_run
        hint = "give it a service of its own, with deploy.mode replicated-job"
        error = UsageError("a Swarm runs services, and no one-offs", code="not-supported", hint=hint)
        emit({"event": "end", "ok": False, "error": failure_json(error)})

    def builds(self, request: StackRequest) -> tuple[str, ...]:
        """Return nothing: a Swarm builds no images. Raises UsageError when they were asked for."""
        if request.verb == "build":
            raise UsageError("a Swarm builds no images", code="not-supported", hint=_HINTS["build"])
        return ()

    def add_context(self, stream: Readable) -> str:
        """Refuse. Raises UsageError."""
        del stream
        raise UsageError("a Swarm builds no images", code="not-supported", hint=_HINTS["build"])

    def _desired(
        self, engine: SwarmEngine, stack: Stack, request: StackRequest, observed: Observed
    ) -> tuple[DesiredServices, list[Diagnostic]]:
        images, warnings = _images(engine, stack, request, observed)
        fingerprints = self._contents.fingerprints(request.contents)
        return desired_services(stack, images, fingerprints, engine.traits(), version=__version__), warnings

    @contextmanager
    def _running(self, emit: Emit) -> Iterator[threading.Event]:
        """Give the apply an id, and turn what goes wrong into its last event."""
        apply_id, cancelled = os.urandom(8).hex(), threading.Event()
        self._cancelled[apply_id] = cancelled
        emit({"event": "apply", "id": apply_id})
        try:
            yield cancelled
        except Exception as error:  # an edge: the stream is the only way to tell
            emit({"event": "end", "ok": False, "error": failure_json(error)})
        finally:
            del self._cancelled[apply_id]


def _images(
    engine: SwarmEngine, stack: Stack, request: StackRequest, observed: Observed
) -> tuple[dict[str, str], list[Diagnostic]]:
    """Return the image that each service's tasks run.

    A service whose image is written as before keeps the digest it has, unless registries are always to be asked.
    Raises PlanError, naming every service whose image cannot be had.
    """
    there = {service.name: service.spec for service in observed.services}
    needed = needed_services(stack, request)
    images: dict[str, str] = {}
    failures: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    for name, service in sorted(stack.services.items()):
        known = there.get(service_name(stack, name))
        is_known = known is not None and known.image_ref == service.image
        images[name] = known.image if known is not None and is_known else service.image
        policy = request.pull or service.pull_policy
        is_pinned = is_known and "@" in images[name]
        if name not in needed or (is_pinned and policy != "always"):
            continue
        try:
            images[name], why = engine.images.pinned(service.image)
        except StackctlError as error:
            failures.append(_image_missing(stack, name, error))
            continue
        if why and not is_known:
            warnings.append(_not_pinned(stack, name, why))
    if failures:
        raise PlanError(failures[0].detail, code="image-not-found", diagnostics=failures)
    return images, warnings


def _image_missing(stack: Stack, service: str, why: StackctlError) -> Diagnostic:
    return Diagnostic(
        severity="error",
        code="image-not-found" if isinstance(why, ImageError) else why.code,
        summary="Image cannot be had",
        detail=f"service {service}: {why}.",
        hint=why.hint,
        sources=_image_line(stack, service),
    )


def _not_pinned(stack: Stack, service: str, why: str) -> Diagnostic:
    return Diagnostic(
        severity="warning",
        code="image-not-pinned",
        summary="Machines may run different images",
        detail=f"service {service}: no registry told the digest of {stack.services[service].image} ({why}).",
        hint="push it to a registry that all machines of the Swarm reach",
        sources=_image_line(stack, service),
    )


def _image_line(stack: Stack, service: str) -> tuple[Any, ...]:
    where = stack.where("services", service, "image")
    return (where,) if where is not None else ()


def _no_words(name: str, count: int) -> tuple[str, ...]:
    """Tasks are not named by steps; what they reported is in the error."""
    del name, count
    return ()
